import { describe, expect, it } from "vitest";
import { StreamError } from "../../../src/core/errors.ts";
import { memoryStore } from "../../../src/stores/memory/memory-store.ts";
import {
  GROUP,
  STORES,
  TEA,
  gate,
  itemsOf,
  only,
  reasonOf,
  servicesOf,
  table,
  take,
} from "./custom-fixture.ts";

describe.each(STORES)("writes of a custom stream over the $kind store", ({ open }) => {
  const services = servicesOf(open);

  it("of one group run one at a time, in the order of the calls (G2)", async () => {
    const service = await services();
    const stock = table();
    let running = 0;
    let most = 0;
    const alone = async (write: () => void) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      write();
      running--;
    };
    await service.createStream("stock", {
      get: stock.get,
      set: (input) => alone(() => void stock.set(input)),
      update: (input) => alone(() => void stock.update(input)),
      delete: (input) => alone(() => void stock.delete(input)),
    });
    const frames = await service.subscribe(GROUP);
    const ops = [{ type: "append", path: "", value: "+" }] as const;
    const done = await Promise.all(
      Array.from({ length: 10 }, (_, i) => [
        service.set({ ...TEA, data: `${i}` }),
        service.update({ ...TEA, ops }),
        i === 9 ? service.get(TEA) : service.delete(TEA),
      ]).flat(),
    );
    expect(most).toBe(1);
    expect(stock.rows).toEqual(new Map([["tea", "9+"]]));
    expect(done.at(-1)).toMatchObject({ data: "9+", revision: 29 });
    const changes = (await take(frames, 30)).slice(1);
    expect(
      changes.map((frame) => frame.kind === "change" && [frame.position.revision, frame.data]),
    ).toEqual(
      Array.from({ length: 10 }, (_, i) => [`${i}`, `${i}+`, `${i}+`])
        .flat()
        .slice(0, 29)
        .map((data, i) => [i + 1, data]),
    );
    await frames.return?.();
  });

  it("run one at a time, also when they arrive while others wait", async () => {
    const service = await services();
    const stock = table();
    let running = 0;
    let most = 0;
    await service.createStream("stock", {
      async set(input) {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        stock.set(input);
        running--;
      },
    });
    const client = async (itemId: string) => {
      for (let i = 0; i < 8; i++) await service.set({ ...GROUP, itemId, data: i });
    };
    await Promise.all(["a", "b", "c", "d"].map(client));
    expect(most).toBe(1);
    expect((await service.list(GROUP)).position.revision).toBe(32);
  });

  it("of different groups run concurrently", async () => {
    const service = await services();
    const stock = table();
    const [begun, held] = [gate(), gate()];
    await service.createStream("stock", {
      ...stock,
      async set(input) {
        if (input.group_id === "slow") {
          begun.open();
          await held.opened;
        }
        stock.set(input);
      },
    });
    const slow = { ...TEA, groupId: "slow" };
    const first = service.set({ ...slow, data: 1 });
    const second = service.set({ ...slow, data: 2 });
    await begun.opened;
    await service.set({ ...TEA, data: 1 });
    expect(await service.delete(TEA)).toMatchObject({ oldValue: 1 });
    expect(await itemsOf(service)).toEqual([]);
    expect(stock.groups.get("slow")?.has("tea") ?? false).toBe(false);
    held.open();
    expect(await Promise.all([first, second])).toMatchObject([
      { created: true, position: { revision: 1 } },
      { oldValue: 1, position: { revision: 2 } },
    ]);
  });

  it("continue after a failed one", async () => {
    const service = await services();
    const stock = table();
    await service.createStream("stock", {
      ...stock,
      set(input) {
        if (input.data === "bad") throw new Error("It is refused.");
        stock.set(input);
      },
    });
    const calls = [1, "bad", 2, "bad", 3].map((data) => reasonOf(service.set({ ...TEA, data })));
    expect(await Promise.all(calls)).toEqual(
      [0, 1, 0, 1, 0].map((bad) => (bad === 1 ? "STORE_UNAVAILABLE" : "not refused")),
    );
    expect(await service.get(TEA)).toMatchObject({ data: 3, revision: 3 });
  });

  it("are visible to later reads, and never without their revision (G10)", async () => {
    const service = await services();
    const stock = table();
    const [written, held] = [gate(), gate()];
    await service.createStream("stock", {
      ...stock,
      async set(input) {
        stock.set(input);
        written.open();
        await held.opened;
      },
    });
    const write = service.set({ ...TEA, data: 1 });
    await written.opened;
    // The value is stored outside, but its change is not recorded yet.
    const reads = [service.get(TEA), service.list(GROUP), service.subscribe(GROUP)] as const;
    held.open();
    await write;
    const [item, page, frames] = await Promise.all(reads);
    expect(item).toMatchObject({ data: 1, revision: 1 });
    expect(page).toMatchObject({
      items: [{ itemId: "tea", revision: 1 }],
      position: { revision: 1 },
    });
    expect(await take(frames, 1)).toMatchObject([
      { items: [{ itemId: "tea", revision: 1 }], position: { revision: 1 } },
    ]);
    await frames.return?.();
  });

  it("during a read never pair the value of one revision with the number of another", async () => {
    const service = await services();
    const stock = table({ tea: "old" });
    const [asked, held] = [gate(), gate()];
    let first = true;
    await service.createStream("stock", {
      ...stock,
      async get(input) {
        const value = stock.get(input);
        if (!first) return value;
        first = false;
        asked.open();
        await held.opened;
        return value;
      },
    });
    const read = service.get(TEA);
    await asked.opened;
    await service.set({ ...TEA, data: "new" });
    held.open();
    expect(await read).toMatchObject({ data: "new", revision: 1 });
  });

  it("and a snapshot taken among them yield one state (G3)", async () => {
    const service = await services();
    const stock = table();
    await service.createStream("stock", {
      ...stock,
      async set(input) {
        await new Promise((resolve) => setImmediate(resolve));
        stock.set(input);
      },
      async list() {
        await new Promise((resolve) => setImmediate(resolve));
        return Array.from(stock.rows.values());
      },
    });
    const write = async (writer: number) => {
      const itemId = `w${writer}`;
      for (let i = 0; i < 10; i++) await service.set({ ...GROUP, itemId, data: { id: itemId, i } });
    };
    const writers = Promise.all([0, 1, 2].map(write));
    const follow = async () => {
      const frames = await service.subscribe(GROUP);
      const state = new Map<string, unknown>();
      for (let revision = 0; revision < 30;) {
        const [frame] = await take(frames, 1);
        if (frame?.kind === "sync") {
          for (const { itemId, data } of frame.items) state.set(itemId, data);
          ({ revision } = frame.position);
        } else if (frame?.kind === "change") {
          expect(frame.position.revision).toBe(revision + 1);
          state.set(frame.itemId, frame.data);
          ({ revision } = frame.position);
        }
      }
      await frames.return?.();
      return state;
    };
    const states = await Promise.all(Array.from({ length: 5 }, follow));
    await writers;
    for (const state of states) expect(state).toEqual(stock.rows);
  });
});

describe("calls that wait for one group of a custom stream", () => {
  const services = servicesOf();

  it("are at most a thousand: more are refused, and the waiting ones complete", async () => {
    const service = await services();
    const stock = table();
    const held = gate();
    await service.createStream("stock", {
      ...only(stock, "get", "list"),
      async set(input) {
        await held.opened;
        stock.set(input);
      },
    });
    const calls = Array.from({ length: 1000 }, (_, i) =>
      service.set({ ...GROUP, itemId: `i${i}`, data: i }),
    );
    expect(await reasonOf(service.set({ ...TEA, data: 1 }))).toBe("OVERLOADED");
    expect(await reasonOf(service.list(GROUP))).toBe("OVERLOADED");
    held.open();
    const done = await Promise.all(calls);
    expect(done.map(({ position }) => position.revision)).toEqual(calls.map((_, i) => i + 1));
    expect(await service.set({ ...TEA, data: 1 })).toMatchObject({ position: { revision: 1001 } });
  });
});

describe("a custom stream over a store that fails", () => {
  let broken = false;
  const services = servicesOf(async () => {
    const store = memoryStore({ sweepIntervalMs: 0 });
    return {
      ...store,
      async run(group, commits) {
        if (broken) throw new StreamError("STORE_UNAVAILABLE", "The disk is full.");
        return store.run(group, commits);
      },
    };
  });

  it("fails with an unknown outcome when the value is written but its change cannot be recorded", async () => {
    broken = false;
    const service = await services();
    const stock = table();
    await service.createStream("stock", stock);
    const frames = await service.subscribe(GROUP);
    broken = true;
    expect(await reasonOf(service.set({ ...TEA, data: 1 }))).toBe("OUTCOME_UNKNOWN");
    expect(stock.rows.get("tea")).toBe(1);
    broken = false;
    expect(await service.set({ ...TEA, data: 2 })).toMatchObject({
      oldValue: 1,
      position: { revision: 1 },
    });
    expect((await take(frames, 2)).slice(1)).toMatchObject([{ type: "update", data: 2 }]);
    await frames.return?.();
  });
});
