import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { StreamError } from "../../src/core/errors.ts";
import type { Mutation } from "../../src/core/store.ts";
import { Value } from "../../src/core/value.ts";
import type { PresentConnection } from "../../src/presence/present-item.ts";
import { createPresences } from "../../src/presence/presences.ts";
import { memoryStore } from "../../src/stores/memory/memory-store.ts";

const GROUP = { streamName: "millrace:presence:rooms", groupId: "g" };
const TIMEOUT_MS = 5000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Presence over a store that fails on demand. */
function open({ isBoundElsewhere = false } = {}) {
  const store = memoryStore({ sweepIntervalMs: 0 });
  const problems: unknown[] = [];
  /** Errors of the next commits: before it, or after it took effect. */
  const failures: StreamError[] = [];
  let commits = 0;
  let nowMs = 7;
  /** Whether the session of the connection is held here, as far as the fence knows. */
  const fence = { isHeld: true as boolean | Promise<boolean> };
  const run: typeof store.run = async (group, all) => {
    commits++;
    await at.beforeCommit?.();
    const failure = failures.shift();
    if (failure?.reason === "STORE_UNAVAILABLE") throw failure;
    const outcomes = await store.run(group, all);
    if (failure !== undefined) throw failure;
    return outcomes;
  };
  const connection = {
    connectionId: "c",
    isOver: false as boolean,
    isReplaced: false as boolean,
    isBoundElsewhere,
    isHeld: () => fence.isHeld,
    bind: (_group, write) => write(),
    track: (write) => write(),
  } satisfies PresentConnection;
  const presences = createPresences({
    store: { ...store, run },
    timeoutMs: TIMEOUT_MS,
    clock: () => nowMs,
    onProblem: (error) => problems.push(error),
  });
  const shown = async () => {
    const { item } = await store.get(GROUP, "c");
    return item?.value.json();
  };
  const at = {
    store,
    presences,
    connection,
    problems,
    failures,
    fence,
    setClock: (ms: number) => void (nowMs = ms),
    shown,
    /** Called before each commit of this process. */
    beforeCommit: undefined as (() => Promise<void>) | undefined,
    get commits() {
      return commits;
    },
    announce: async (data: object) =>
      presences.announce(GROUP, connection, {
        data: Value.of(data),
        user: "ann",
        author: "user:ann",
      }),
    /** Stores an item as another process does. */
    putElsewhere: async (data: object, since = 1) =>
      store.run(GROUP, [
        {
          mutations: [
            {
              kind: "put",
              itemId: "c",
              value: Value.of({ id: "c", user: "ann", data, since }),
              lifetime: { connection: "c" },
            },
          ],
        },
      ]),
  };
  return at;
}
type Opened = ReturnType<typeof open>;

const failing = (reason: "STORE_UNAVAILABLE" | "OUTCOME_UNKNOWN") =>
  new StreamError(reason, "The store fails.");

describe("the item of a connection", () => {
  it.each(["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"] as const)(
    "does not exist after an announcement that failed with %s",
    async (reason) => {
      const at = open();
      at.failures.push(failing(reason));
      await expect(at.announce({ n: 1 })).rejects.toMatchObject({ reason });
      await vi.advanceTimersByTimeAsync(10);
      expect(await at.shown()).toBeUndefined();
      await at.announce({ n: 2 });
      expect(await at.shown()).toMatchObject({ data: { n: 2 } });
    },
  );

  it("shows the previous announcement when a later one failed", async () => {
    const at = open();
    await at.announce({ n: 1 });
    at.failures.push(failing("OUTCOME_UNKNOWN"));
    await expect(at.announce({ n: 2 })).rejects.toThrow();
    await vi.advanceTimersByTimeAsync(10);
    expect(await at.shown()).toEqual({ id: "c", user: "ann", data: { n: 1 }, since: 7 });
  });

  it("changes and is deleted when the store works again, and reports the failures meanwhile", async () => {
    const at = open();
    const presence = await at.announce({ n: 1 });
    at.failures.push(failing("STORE_UNAVAILABLE"), failing("STORE_UNAVAILABLE"));
    presence.change(Value.of({ n: 2 }));
    await vi.advanceTimersByTimeAsync(2500);
    expect(await at.shown()).toMatchObject({ data: { n: 2 } });
    expect(at.problems).toHaveLength(2);
    at.failures.push(failing("STORE_UNAVAILABLE"));
    presence.leave();
    await vi.advanceTimersByTimeAsync(1500);
    expect(await at.shown()).toBeUndefined();
  });

  it("is written once, with the last, for many changes made together", async () => {
    const at = open();
    const presence = await at.announce({ n: 0 });
    for (let n = 1; n <= 100; n++) presence.change(Value.of({ n }));
    await vi.advanceTimersByTimeAsync(10);
    expect(at.commits).toBe(2);
    expect(await at.shown()).toMatchObject({ data: { n: 100 } });
  });

  it("is not written when it would not change", async () => {
    const at = open();
    const presence = await at.announce({ n: 1 });
    presence.change(Value.of({ n: 1 }));
    await at.announce({ n: 1 });
    await vi.advanceTimersByTimeAsync(10);
    expect(at.commits).toBe(1);
  });

  describe("that the store has lost", () => {
    const lost = async () => {
      const at = open();
      const presence = await at.announce({ n: 1 });
      await at.store.run(GROUP, [{ mutations: [{ kind: "delete", itemId: "c" }] }]);
      at.setClock(8);
      return { at, presence };
    };
    const restored = { id: "c", user: "ann", data: { n: 1 }, since: 7 };

    it("is stored again when it is checked, with its time, however often the store fails", async () => {
      const { at } = await lost();
      at.failures.push(failing("STORE_UNAVAILABLE"));
      at.presences.check([at.connection]);
      await vi.advanceTimersByTimeAsync(1500);
      expect(await at.shown()).toEqual(restored);
    });

    it("is stored again by an announcement of the same", async () => {
      const { at, presence } = await lost();
      presence.change(Value.of({ n: 1 }));
      await vi.advanceTimersByTimeAsync(10);
      expect(await at.shown()).toEqual(restored);
    });

    it("is stored again by a join with the same", async () => {
      const { at } = await lost();
      await at.announce({ n: 1 });
      expect(await at.shown()).toEqual(restored);
    });

    it("has a new time when it was withdrawn before", async () => {
      const { at, presence } = await lost();
      at.presences.check([at.connection]);
      await vi.advanceTimersByTimeAsync(10);
      presence.leave();
      await vi.advanceTimersByTimeAsync(10);
      await at.announce({ n: 1 });
      expect(await at.shown()).toEqual({ ...restored, since: 8 });
    });
  });

  it("takes over the time and the unchanged data that another process stored", async () => {
    const at = open({ isBoundElsewhere: true });
    await at.putElsewhere({ n: 1 });
    const presence = await at.announce({ n: 1 });
    expect(at.commits).toBe(0);
    presence.change(Value.of({ n: 2 }));
    await vi.advanceTimersByTimeAsync(10);
    expect(await at.shown()).toMatchObject({ data: { n: 2 }, since: 1 });
  });

  it("overwrites what another process stored meanwhile", async () => {
    const at = open();
    const presence = await at.announce({ n: 1 });
    await at.putElsewhere({ n: 9 });
    presence.change(Value.of({ n: 2 }));
    await vi.advanceTimersByTimeAsync(10);
    expect(await at.shown()).toMatchObject({ data: { n: 2 } });
  });

  it("is deleted when its client comes back from another process and does not announce itself in time", async () => {
    const at = open({ isBoundElsewhere: true });
    await at.putElsewhere({ n: 1 });
    at.presences.resume(at.connection);
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 1);
    expect(await at.shown()).toBeDefined();
    await vi.advanceTimersByTimeAsync(10);
    expect(await at.shown()).toBeUndefined();
  });

  it("is deleted then also when thousands of other items are bound to the connection", async () => {
    const at = open({ isBoundElsewhere: true });
    const lifetime = { connection: "c" };
    const puts = Array.from({ length: 1000 }, (_, i) => ({
      ...{ kind: "put", itemId: `i${i}`, value: Value.of(i), lifetime },
    })) as Mutation[];
    for (const groupId of ["a", "b"])
      await at.store.run({ streamName: "others", groupId }, [{ mutations: puts }]);
    await at.putElsewhere({ n: 1 });
    at.presences.resume(at.connection);
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS + 10);
    expect(await at.shown()).toBeUndefined();
  });

  it("stays when its client comes back from another process and announces itself", async () => {
    const at = open({ isBoundElsewhere: true });
    await at.putElsewhere({ n: 1 });
    at.presences.resume(at.connection);
    await at.announce({ n: 1 });
    await vi.advanceTimersByTimeAsync(2 * TIMEOUT_MS);
    expect(await at.shown()).toMatchObject({ data: { n: 1 }, since: 1 });
  });

  describe.each([
    ["released here", (at: Opened) => void (at.connection.isReplaced = true)],
    ["not known of here", (at: Opened) => void (at.fence.isHeld = false)],
  ])("after a take-up by another process that was %s", (_which, takeUp) => {
    it.each(["changes", "is withdrawn"])(
      "stays as the other process stored it, though it still %s here",
      async (which) => {
        const at = open();
        const presence = await at.announce({ n: 1 });
        at.failures.push(failing("STORE_UNAVAILABLE"));
        if (which === "changes") presence.change(Value.of({ n: 2 }));
        else presence.leave();
        await vi.advanceTimersByTimeAsync(10);
        takeUp(at);
        await at.putElsewhere({ n: 9 });
        await vi.advanceTimersByTimeAsync(2 * TIMEOUT_MS);
        expect(await at.shown()).toMatchObject({ data: { n: 9 } });
        expect(at.problems).toHaveLength(1);
      },
    );
  });

  it("is withdrawn when the session turns out to go on here", async () => {
    const at = open();
    const presence = await at.announce({ n: 1 });
    at.connection.isReplaced = true;
    presence.leave();
    await vi.advanceTimersByTimeAsync(10);
    at.connection.isReplaced = false;
    at.presences.resume(at.connection);
    await vi.advanceTimersByTimeAsync(10);
    expect(await at.shown()).toBeUndefined();
  });

  it("is changed only once it is certain that the session is held here", async () => {
    const at = open();
    const presence = await at.announce({ n: 1 });
    let answer: (isHeld: boolean) => void = () => {};
    at.fence.isHeld = new Promise((resolve) => (answer = resolve));
    presence.change(Value.of({ n: 2 }));
    await vi.advanceTimersByTimeAsync(10);
    expect(await at.shown()).toMatchObject({ data: { n: 1 } });
    answer(true);
    await vi.advanceTimersByTimeAsync(10);
    expect(await at.shown()).toMatchObject({ data: { n: 2 } });
  });

  it("is not deleted by a delete that comes after another process stored it anew", async () => {
    const at = open();
    const presence = await at.announce({ n: 1 });
    at.beforeCommit = async () => {
      at.connection.isReplaced = true;
      await at.putElsewhere({ n: 9 });
    };
    presence.leave();
    await vi.advanceTimersByTimeAsync(10);
    expect(await at.shown()).toMatchObject({ data: { n: 9 } });
  });

  it("is left alone once its connection is over", async () => {
    const at = open();
    const presence = await at.announce({ n: 1 });
    at.connection.isOver = true;
    presence.change(Value.of({ n: 2 }));
    presence.leave();
    await vi.advanceTimersByTimeAsync(2 * TIMEOUT_MS);
    expect(await at.shown()).toMatchObject({ data: { n: 1 } });
    expect(at.commits).toBe(1);
  });
});
