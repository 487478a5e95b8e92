import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { memoryStore, StreamError } from "millrace";
import { createLocalSessions } from "../../src/coordinators/local/local-sessions.ts";
import type { SubscriberPresence } from "../../src/core/subscriber-presence.ts";
import { type Engine, createEngine } from "../../src/service/engine.ts";
import type { Admission } from "../../src/service/handlers.ts";
import { openSession } from "./open-session.ts";

let engine: Engine;
beforeEach(() => {
  engine = createEngine(memoryStore());
});
afterEach(() => engine.close());

/** A client that said hello, and whose join is announcing its presence. */
async function announce() {
  let store = (): void => {};
  let fail = (_error: unknown): void => {};
  const stored = new Promise<void>((resolve, reject) => {
    store = resolve;
    fail = reject;
  });
  let isAllowed = true;
  const presence = { change: vi.fn(), leave: vi.fn() } satisfies SubscriberPresence;
  const announced = vi.fn();
  let admission: Admission | undefined;
  const suspend = vi.fn();
  const leave = vi.fn();
  const handlers: Engine["handlers"] = {
    ...engine.handlers,
    requirePresence() {
      if (!isAllowed) throw new StreamError("ACTION_DENIED", "No.");
    },
    async announce() {
      announced();
      await stored;
      return presence;
    },
    async admit(...args) {
      admission = await engine.handlers.admit(...args);
      suspend.mockImplementation(admission.suspend.bind(admission));
      leave.mockImplementation(admission.leave.bind(admission));
      return Object.assign(admission, { suspend, leave });
    },
  };
  const at = openSession(engine, handlers, createLocalSessions());
  const send = (type: string, data: object) => at.session.receive(JSON.stringify({ type, data }));
  send("hello", { version: 2 });
  send("join", { subscriptionId: "s", streamName: "s", groupId: "g", presence: {} });
  await vi.waitFor(() => expect(announced).toHaveBeenCalledOnce());
  return {
    at,
    presence,
    suspend,
    leave,
    store: () => store(),
    fail: () => fail(new StreamError("STORE_UNAVAILABLE", "The store fails.")),
    forbid: () => void (isAllowed = false),
    shown: () => admission?.presence,
    synced: async () =>
      vi.waitFor(() => expect(at.frames.map(({ event }) => event?.type)).toContain("sync")),
  };
}

describe("a join whose presence is being stored", () => {
  it("shows it, and is open, once it is stored", async () => {
    const join = await announce();
    join.store();
    await join.synced();
    expect(join.shown()).toBe(join.presence);
    expect(join.presence.leave).not.toHaveBeenCalled();
  });

  it("withdraws it when the right to it was lost meanwhile, and is open", async () => {
    const join = await announce();
    join.forbid();
    join.store();
    await join.synced();
    expect(join.shown()).toBeUndefined();
    expect(join.presence.leave).toHaveBeenCalledOnce();
  });

  it.each(["store", "fail"] as const)(
    "is suspended at once, and only once, when its socket closes, whatever becomes of it (%s)",
    async (end) => {
      const join = await announce();
      join.at.session.close();
      expect(join.suspend).toHaveBeenCalledOnce();
      join[end]();
      if (end === "store") await vi.waitFor(() => expect(join.presence.leave).toHaveBeenCalled());
      await new Promise((resolve) => setImmediate(resolve));
      expect(join.suspend).toHaveBeenCalledOnce();
      expect(join.leave).not.toHaveBeenCalled();
      expect(join.shown()).toBeUndefined();
    },
  );
});
