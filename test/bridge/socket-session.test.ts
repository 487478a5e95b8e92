import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { WaitingCalls } from "../../src/bridge/call-order.ts";
import { type SessionKeeper, SocketSession } from "../../src/bridge/socket-session.ts";
import type { SessionConnection } from "../../src/core/connection.ts";
import type { SuspendedSubscription } from "../../src/service/handlers.ts";

const TIMEOUT_MS = 1000;
const RECORD = { id: "session", owner: "ann" };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A client that loses its connection and takes its session up again. */
function open(maxSuspended = 10) {
  const left: string[] = [];
  const keeper: SessionKeeper = {
    timeoutMs: TIMEOUT_MS,
    maxSuspended,
    waiting: new WaitingCalls(),
    isHeld: () => true,
    isClosed: false,
    onOver: (over) => over.settle(true),
  };
  let settled = Promise.resolve();
  const connection: SessionConnection = {
    connectionId: "c",
    isOver: false,
    isReplaced: false,
    isBoundElsewhere: false,
    bind: (_group, write) => write(),
    holdBy: () => {},
    isHeld: () => true,
    track: (write) => write(),
    settled: () => settled,
    end: () => {},
  };
  /** Begins a write. @returns Its end. */
  const write = () => {
    let end = () => {};
    settled = new Promise((resolve) => (end = resolve));
    return end;
  };
  const begin = () => new SocketSession(keeper, RECORD, connection, undefined);
  let session = begin();
  const joinedOf = (subscriptionId: string) => ({
    ...{ subscriptionId, streamName: "s", groupId: "g", itemId: undefined },
    ...{ user: undefined, context: "", connection: { connectionId: "c" } },
  });
  return {
    left,
    /** Suspends subscriptions, as a socket that is cut does. */
    suspend(...ids: string[]) {
      for (const id of ids) {
        const subscription: SuspendedSubscription = {
          joined: joinedOf(id),
          isOver: false,
          leave: () => void left.push(id),
          drop: () => void left.push(`dropped ${id}`),
        };
        session.suspend(subscription);
      }
    },
    join: (id: string) => session.begin(joinedOf(id)),
    cut: () => session.lose(),
    write,
    release: async () => session.releaseElsewhere(),
    takeUp() {
      const before = session;
      session = begin();
      before.handTo(session);
    },
  };
}

it("lets nothing leave after the session is lost until it is taken up, or over", () => {
  const client = open();
  client.suspend("one", "two");
  client.takeUp();
  const join = client.join("two");
  vi.advanceTimersByTime(TIMEOUT_MS / 2);
  client.cut();
  join.fail();
  vi.advanceTimersByTime(TIMEOUT_MS / 2 + 10);
  // Another process may have it.
  expect(client.left).toEqual([]);
  vi.advanceTimersByTime(TIMEOUT_MS / 2);
  expect(client.left).toEqual(["one", "two"]);
});

it("is released to another process once the writes of its connection are over", async () => {
  const client = open();
  const end = client.write();
  let isReleased = false as boolean;
  const releasing = client.release().then(() => (isReleased = true));
  await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
  expect(isReleased).toBe(false);
  end();
  await releasing;
});

describe("a session that is taken up again and again", () => {
  it("gives the joins of a subscription no more time than the first take-up gave", () => {
    const client = open();
    client.suspend("one");
    client.cut();
    client.takeUp();
    vi.advanceTimersByTime(TIMEOUT_MS / 2);
    client.suspend("two");
    client.cut();
    client.takeUp();
    vi.advanceTimersByTime(TIMEOUT_MS / 2 + 10);
    expect(client.left).toEqual(["one"]);
    vi.advanceTimersByTime(TIMEOUT_MS / 2);
    expect(client.left).toEqual(["one", "two"]);
  });

  it("gives one whose join was refused no more time, either", () => {
    const client = open();
    client.suspend("one");
    client.takeUp();
    vi.advanceTimersByTime(TIMEOUT_MS / 2);
    client.join("one").fail();
    client.takeUp();
    vi.advanceTimersByTime(TIMEOUT_MS / 2 + 10);
    expect(client.left).toEqual(["one"]);
  });

  it("keeps a limited number of subscriptions, and the oldest ones leave", () => {
    const client = open(3);
    client.suspend("1", "2", "3");
    client.takeUp();
    client.suspend("2", "4", "5");
    // The earlier one of the same id was replaced.
    expect(client.left).toEqual(["2", "1", "3"]);
    client.takeUp();
    client.suspend("6");
    expect(client.left).toEqual(["2", "1", "3", "2"]);
    for (const id of ["4", "5", "6"]) expect(client.join(id).allow()).toBeDefined();
  });
});
