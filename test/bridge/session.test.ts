import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { memoryStore, StreamError } from "millrace";
import { createLocalSessions } from "../../src/coordinators/local/local-sessions.ts";
import type { Sessions } from "../../src/core/coordinator.ts";
import { Value } from "../../src/core/value.ts";
import { THIS_PROCESS } from "../../src/rights/caller.ts";
import { type Engine, createEngine } from "../../src/service/engine.ts";
import type { Admission, Handlers } from "../../src/service/handlers.ts";
import { LIMITS, openSession } from "./open-session.ts";

const LARGE = "x".repeat(60_000);

let engine: Engine;
beforeEach(() => {
  engine = createEngine(memoryStore());
});
afterEach(() => engine.close());

const open = (handlers?: Handlers, agreed?: Sessions) => openSession(engine, handlers, agreed);

async function set(groupId: string, itemId: string, json: string | number): Promise<void> {
  const request = { streamName: "s", groupId, itemId, data: Value.of(json) };
  await engine.handlers.set(request, THIS_PROCESS);
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe("a session", () => {
  it("sends no more than the socket takes, and serves its groups in turns (G7)", async () => {
    const at = open();
    for (const groupId of ["a", "b", "c"]) at.join(groupId, groupId);
    await settle();
    at.stall();
    for (let n = 0; n < 10; n++)
      for (const groupId of ["a", "b", "c"]) await set(groupId, "i", LARGE);
    await settle();
    expect(at.bufferedBytes).toBeLessThan(3 * LARGE.length);
    const before = at.frames.length;
    at.flow();
    await settle();
    const order = at.frames.slice(before).map(({ groupId }) => groupId);
    expect(at.frames).toHaveLength(3 + 30);
    // No group waits until another one has sent everything.
    for (const groupId of ["a", "b", "c"]) expect(order.indexOf(groupId)).toBeLessThan(9);
  });

  it("processes joins only as the socket takes frames, and is closed with 4429 when they pile up", async () => {
    const at = open();
    at.join("first", "g");
    await settle();
    at.stall();
    for (let n = 0; n < 5; n++) await set("g", "i", LARGE);
    for (let n = 0; n < LIMITS.maxFrameBurst; n++) at.join(`s${n}`, "g", "i");
    await settle();
    expect(at.closedWith).toBeUndefined();
    at.join("one too many", "g", "i");
    expect(at.closedWith).toBe(4429);
  });

  it("is closed with 4430 when responses to its frames are not read", async () => {
    const at = open();
    at.stall();
    let sent = 0;
    // Each is refused with a response of some 2 KB.
    while (at.closedWith === undefined && sent < 1000) {
      at.join(`s${sent++}`, "\u0001".repeat(256));
      await settle();
    }
    expect(at.closedWith).toBe(4430);
    expect(at.bufferedBytes).toBeLessThan(300 * 1024);
  });

  it("sends `unauthorized` for a join that a gate refused, and stays open", async () => {
    const refusing: Handlers = {
      ...engine.handlers,
      share: (request) => {
        if (request.groupId === "secret") throw new StreamError("JOIN_REFUSED", "No.");
        return engine.handlers.share(request);
      },
    };
    const at = open(refusing);
    at.session.joinByUrl({ streamName: "s", groupId: "secret", itemId: "i" }, "url");
    at.join("s1", "secret");
    await settle();
    at.join("s1", "open");
    await settle();
    const refusal = { type: "stream", timestamp: 0, streamName: "s", groupId: "secret" };
    const event = { type: "unauthorized" };
    expect(at.frames).toEqual([
      { ...refusal, id: "i", subscriptionId: "url", event },
      { ...refusal, id: null, subscriptionId: "s1", event },
      expect.objectContaining({ groupId: "open", subscriptionId: "s1" }),
    ]);
  });

  it("is closed with 1013 after its hello, with the error, when the fleet cannot be reached", async () => {
    const fail = async () => {
      throw new StreamError("STORE_UNAVAILABLE", "Redis is down.");
    };
    const agreed = { ...createLocalSessions(), begin: fail, take: fail };
    for (const session of [undefined, "s".repeat(22)]) {
      const at = open(engine.handlers, agreed);
      at.session.receive(JSON.stringify({ type: "hello", data: { version: 2, session } }));
      const join = { subscriptionId: "s", streamName: "s", groupId: "g" };
      at.session.receive(JSON.stringify({ type: "join", data: join }));
      await vi.waitFor(() => expect(at.closedWith).toBe(1013));
      const [error, ...others] = at.frames;
      expect(error?.event).toMatchObject({ type: "error", reason: "STORE_UNAVAILABLE" });
      expect(others).toEqual([]);
    }
  });

  it.each([
    ["ended when its client closes the socket", true],
    ["lost when its socket is cut", false],
  ])("is %s before the welcome", async (_how, isOver) => {
    let take = () => {};
    const taken = new Promise<void>((resolve) => (take = resolve));
    const local = createLocalSessions();
    const ended: string[] = [];
    const agreed: Sessions = {
      ...local,
      async take() {
        await taken;
        return { connectionId: "c1", isBound: false, leases: [] };
      },
      async end(id) {
        ended.push(id);
        return true;
      },
    };
    const at = open(engine.handlers, agreed);
    const session = "s".repeat(22);
    at.session.receive(JSON.stringify({ type: "hello", data: { version: 2, session } }));
    at.session.close(isOver);
    take();
    await settle();
    expect(ended).toHaveLength(isOver ? 1 : 0);
  });

  it("reads the frames that came with its hello after the welcome, in order", async () => {
    let begin = () => {};
    const began = new Promise<void>((resolve) => (begin = resolve));
    const agreed = { ...createLocalSessions(), begin: async () => began };
    const at = open(engine.handlers, agreed);
    at.session.receive(JSON.stringify({ type: "hello", data: { version: 2 } }));
    for (const subscriptionId of ["one", "two"]) {
      const data = { subscriptionId, streamName: "s", groupId: subscriptionId };
      at.session.receive(JSON.stringify({ type: "join", data }));
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(at.frames).toEqual([]);
    begin();
    await vi.waitFor(() => expect(at.frames).toHaveLength(3));
    expect(at.frames.map(({ type, subscriptionId }) => subscriptionId ?? type)).toEqual([
      "welcome",
      "one",
      "two",
    ]);
  });

  it("suspends its joins when it is cut, also those that wait for another of the same group", async () => {
    const parted: string[] = [];
    const handlers: Handlers = {
      ...engine.handlers,
      async admit(request, subscriber) {
        const admission = await engine.handlers.admit(request, subscriber);
        const { subscriptionId } = request;
        return {
          ended: undefined,
          presence: undefined,
          show: () => {},
          leave() {
            parted.push(`${subscriptionId} left`);
            admission.leave();
          },
          suspend() {
            parted.push(`${subscriptionId} is suspended`);
            return admission.suspend();
          },
        };
      },
    };
    const at = open(handlers);
    at.session.receive('{"type":"hello","data":{"version":2}}');
    at.join("one", "g");
    await vi.waitFor(() => expect(at.frames).toHaveLength(2));
    at.stall();
    for (let n = 0; n < 5; n++) await set("g", "i", LARGE);
    for (const id of ["two", "three", "four"]) at.join(id, "g");
    await settle();
    at.session.close();
    await settle();
    const all = ["four", "one", "three", "two"].map((id) => `${id} is suspended`);
    expect(parted.toSorted()).toEqual(all);
  });

  it("ends a subscription whose snapshot is too large, with one error, and no other", async () => {
    await set("g", "large", LARGE);
    await set("g", "small", 1);
    const at = open();
    at.join("small", "g", "small");
    at.join("whole", "g");
    at.join("large", "g", "large");
    await settle();
    expect(at.frames.map(({ subscriptionId, event }) => [subscriptionId, event.reason])).toEqual([
      ["small", undefined],
      ["whole", "SNAPSHOT_TOO_LARGE"],
      ["large", "SNAPSHOT_TOO_LARGE"],
    ]);
    await set("g", "large", 1);
    await set("g", "small", 2);
    at.join("whole", "g");
    await settle();
    expect(at.frames.slice(3).map(({ event }) => event.type)).toEqual(["update", "sync"]);
  });

  it("processes joins and leaves of one subscription id in order, however fast they come", async () => {
    const at = open();
    at.join("s", "a");
    at.leave("s");
    at.join("s", "b");
    at.join("s", "c");
    at.leave("unknown");
    await settle();
    for (const groupId of ["a", "b", "c"]) await set(groupId, "i", 1);
    await settle();
    expect(at.frames.filter(({ event }) => event.type !== "sync")).toMatchObject([
      { groupId: "c", event: { type: "create" } },
    ]);
  });

  it("releases everything when it is closed in the middle of its joins", async () => {
    const at = open();
    for (let n = 0; n < 20; n++) at.join(`s${n}`, `g${n % 3}`, n % 2 === 0 ? "i" : undefined);
    at.session.close();
    at.session.close();
    await settle();
    for (let n = 0; n < 3; n++) await set(`g${n}`, "i", 1);
    await settle();
    expect(at.frames).toEqual([]);
  });

  describe("when the service ends a subscription", () => {
    const REASON = new StreamError("SUBSCRIPTION_ENDED", "The subscription has ended. Enough.");

    /** A session, and how many of its admissions are open. */
    function openCounted() {
      const admitted = new Map<string, Admission>();
      const counting: Handlers = {
        ...engine.handlers,
        async admit(request, caller) {
          const admission = await engine.handlers.admit(request, caller);
          const counted: Admission = {
            ended: undefined,
            presence: undefined,
            show: () => {},
            leave() {
              admitted.delete(request.subscriptionId);
              admission.leave();
            },
            suspend: () => admission.suspend(),
          };
          admitted.set(request.subscriptionId, counted);
          return counted;
        },
      };
      const at = open(counting);
      const unknown: Admission = {
        ended: undefined,
        presence: undefined,
        show: () => {},
        leave: () => {},
        suspend: () => {
          throw new Error("unexpected");
        },
      };
      const admissionOf = (id: string) => admitted.get(id) ?? unknown;
      return Object.assign(at, {
        admitted,
        end: (id: string) => at.session.end(admissionOf(id), REASON),
        positionOf: (id: string) => at.session.positionOf(admissionOf(id)),
      });
    }

    /** Makes joins of a group that is followed wait: its frames are not read. */
    const stallIn = async (at: ReturnType<typeof open>, groupId: string) => {
      at.stall();
      for (let n = 0; n < 5; n++) await set(groupId, "i", LARGE);
    };
    const endings = ({ frames }: ReturnType<typeof open>) =>
      frames
        .filter(({ event }) => ["unauthorized", "ended", "error"].includes(event?.type ?? ""))
        .map(({ subscriptionId, event }) => [subscriptionId, event.type]);

    it("sends `unauthorized` for it and nothing later, and continues the others", async () => {
      const at = openCounted();
      at.join("one", "g", "i");
      at.join("all", "h");
      await settle();
      expect(at.positionOf("one")).toMatchObject({ revision: 0 });
      expect(at.positionOf("unknown")).toBeUndefined();
      at.end("one");
      at.end("one");
      at.end("unknown");
      await set("g", "i", 1);
      await set("h", "i", 1);
      await settle();
      expect(endings(at)).toEqual([["one", "unauthorized"]]);
      expect(at.frames.slice(3).map(({ groupId }) => groupId)).toEqual(["h"]);
      expect([...at.admitted.keys()]).toEqual(["all"]);
      expect(at.positionOf("all")).toMatchObject({ revision: 1 });
      expect(at.positionOf("one")).toBeUndefined();
      at.join("one", "g", "i");
      await settle();
      expect(at.frames.at(-1)).toMatchObject({ subscriptionId: "one", event: { type: "sync" } });
    });

    it("sends `ended` with the reason to a client that said hello", async () => {
      const at = openCounted();
      at.session.receive('{"type":"hello","data":{"version":2}}');
      at.join("one", "g", "i");
      await settle();
      at.end("one");
      expect(at.frames.at(-1)).toEqual({
        ...{ type: "stream", timestamp: 0, streamName: "s", groupId: "g", id: "i" },
        subscriptionId: "one",
        event: {
          type: "ended",
          code: "permission_denied",
          reason: "SUBSCRIPTION_ENDED",
          message: REASON.message,
        },
      });
    });

    it("ends one that is joining, whose first frame is never sent", async () => {
      const at = openCounted();
      at.join("first", "g");
      await settle();
      await stallIn(at, "g");
      at.join("second", "g");
      await settle();
      at.end("second");
      at.flow();
      await settle();
      await set("g", "i", 1);
      await settle();
      expect(endings(at)).toEqual([["second", "unauthorized"]]);
      expect(at.frames.filter(({ event }) => event.type === "sync")).toHaveLength(1);
      expect([...at.admitted.keys()]).toEqual(["first"]);
      at.leave("first");
      await settle();
      const before = at.frames.length;
      await set("g", "i", 2);
      await settle();
      expect(at.frames).toHaveLength(before);
    });

    it("ends a join that is replacing it, which has no admission of its own", async () => {
      const at = openCounted();
      at.session.joinByUrl({ streamName: "s", groupId: "g", itemId: undefined }, "url");
      await settle();
      await stallIn(at, "g");
      at.join("mine", "g");
      await settle();
      at.end("url");
      at.flow();
      await settle();
      const before = at.frames.length;
      await set("g", "i", 1);
      await settle();
      expect(endings(at)).toEqual([
        ["url", "unauthorized"],
        ["mine", "unauthorized"],
      ]);
      expect(at.frames).toHaveLength(before);
      expect([...at.admitted.keys()]).toEqual([]);
      at.join("mine", "g");
      await settle();
      expect(at.frames.at(-1)).toMatchObject({ subscriptionId: "mine", event: { type: "sync" } });
    });
  });
});
