import { describe, expect, it } from "vitest";
import type { OutboxHead } from "../../../src/core/outbox.ts";
import type { Store } from "../../../src/core/store.ts";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import { commit, groupOf, listen, put } from "./fixture.ts";
import { firing, waitingOf } from "./outbox.ts";
import { storesOf } from "./setup.ts";

// Nobody has owned a partition before.
const FENCE = "";

/** Hears a partition of an outbox and lets a test wait for what it hears. */
function hear(store: Store, partition: number, onHeads: (heads: readonly OutboxHead[]) => void) {
  const heard: OutboxHead[] = [];
  let waiter: { readonly count: number; readonly resolve: () => void } | undefined;
  const stop = store.outbox.watch(partition, (heads) => {
    heard.push(...heads);
    onHeads(heads);
    if (waiter !== undefined && heard.length >= waiter.count) waiter.resolve();
  });
  const until = (count: number) =>
    new Promise<void>((resolve) => {
      if (heard.length >= count) resolve();
      else waiter = { count, resolve };
    });
  return { heard, stop, until };
}

/** Reading, settling and watching what there is to fire. */
export function describeOutboxSettling(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");

  /** A store with so many entries of one group, each for `t` and `u`. */
  const filled = async (count: number) => {
    const { store } = await stores();
    const mutations = Array.from({ length: count }, (_, i) => firing(put(`i${i}`, i), "t", "u"));
    await commit(store, group, ...mutations);
    const { partition, heads } = await waitingOf(store, group);
    return { store, partition, seqs: heads.map(({ seq }) => seq) };
  };

  describe("reading the outbox", () => {
    it("goes page by page, oldest first, without a miss or a repetition", async () => {
      const { store, partition, seqs } = await filled(25);
      const read: number[] = [];
      const sizes: number[] = [];
      for (let after = 0; ;) {
        const page = await store.outbox.scan(partition, after, 10);
        if (page.length === 0) break;
        sizes.push(page.length);
        read.push(...page.map(({ seq }) => seq));
        after = page.at(-1)?.seq ?? 0;
      }
      expect(read).toEqual(seqs);
      expect(sizes).toEqual([10, 10, 5]);
    });

    it("goes on where it was while entries come and go", async () => {
      const { store, partition, seqs } = await filled(6);
      const first = await store.outbox.scan(partition, 0, 3);
      const settled = [seqs[0], seqs[3]].map((seq) => ({
        seq: seq as number,
        triggers: ["t", "u"],
        complete: true,
      }));
      await store.outbox.settle(partition, settled, FENCE);
      await commit(store, group, firing(put("late", 1), "t"));
      const rest = await store.outbox.scan(partition, first.at(-1)?.seq ?? 0, 10);
      expect(rest.slice(0, 2).map(({ seq }) => seq)).toEqual([seqs[4], seqs[5]]);
      expect(rest).toHaveLength(3);
      expect(rest[2]?.seq).toBeGreaterThan(seqs[5] as number);
    });
  });

  describe("settling", () => {
    it("removes what is complete, and nothing else", async () => {
      const { store, partition, seqs } = await filled(4);
      const settled = [seqs[1], seqs[2]].map((seq) => ({
        seq: seq as number,
        triggers: ["t", "u"],
        complete: true,
      }));
      await store.outbox.settle(partition, settled, FENCE);
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ seq }) => seq)).toEqual([seqs[0], seqs[3]]);
      expect(await store.outbox.read(partition, seqs[1] as number)).toBeUndefined();
      expect(await store.outbox.read(partition, seqs[0] as number)).toBeDefined();
    });

    it("leaves the triggers of an entry that are not done", async () => {
      const { store, partition, seqs } = await filled(2);
      const seq = seqs[0] as number;
      await store.outbox.settle(partition, [{ seq, triggers: ["t"], complete: false }], FENCE);
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ triggers }) => triggers)).toEqual([["u"], ["t", "u"]]);
      const entry = await store.outbox.read(partition, seq);
      expect(entry?.triggers).toEqual(["u"]);
      expect(entry?.event.value.json()).toBe(0);
      await store.outbox.settle(partition, [{ seq, triggers: ["u"], complete: true }], FENCE);
      expect((await waitingOf(store, group)).heads.map((head) => head.seq)).toEqual([seqs[1]]);
    });

    it("takes parts and the whole of entries together, in whatever way they come", async () => {
      const { store, partition, seqs } = await filled(3);
      const [first, second, third] = seqs as [number, number, number];
      await Promise.all([
        store.outbox.settle(
          partition,
          [
            { seq: first, triggers: ["t"], complete: false },
            { seq: first, triggers: ["u"], complete: true },
          ],
          FENCE,
        ),
        store.outbox.settle(partition, [{ seq: second, triggers: ["t"], complete: false }], FENCE),
        store.outbox.settle(partition, [{ seq: second, triggers: ["u"], complete: true }], FENCE),
        store.outbox.settle(partition, [{ seq: third, triggers: ["u"], complete: false }], FENCE),
      ]);
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ seq, triggers }) => [seq, triggers])).toEqual([[third, ["t"]]]);
    });

    it("of nothing, of what is gone, and once more changes nothing", async () => {
      const { store, partition, seqs } = await filled(2);
      const done = { seq: seqs[0] as number, triggers: ["t", "u"], complete: true };
      await store.outbox.settle(partition, [], FENCE);
      await store.outbox.settle(partition, [done], FENCE);
      await store.outbox.settle(partition, [done, { ...done, seq: 1_000_000 }], FENCE);
      await store.outbox.settle(partition, [{ ...done, complete: false }], FENCE);
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ seq, triggers }) => [seq, triggers])).toEqual([[seqs[1], ["t", "u"]]]);
    });

    it("never gives the number of an entry to a later one while the store is open", async () => {
      const { store, partition, seqs } = await filled(3);
      const settled = seqs.map((seq) => ({ seq, triggers: ["t", "u"], complete: true }));
      await store.outbox.settle(partition, settled, FENCE);
      await commit(store, group, firing(put("late", 1), "t"));
      const { heads } = await waitingOf(store, group);
      expect(heads).toHaveLength(1);
      expect(heads[0]?.seq).toBeGreaterThan(Math.max(...seqs));
    });
  });

  describe("watching the outbox", () => {
    it("tells of new entries, once, in order, and of no older ones", async () => {
      const { store, partition, seqs } = await filled(2);
      const ear = hear(store, partition, () => {});
      const writes = Array.from({ length: 20 }, (_, i) =>
        commit(store, group, firing(put("a", i), `t${i}`), firing(put("b", i), `u${i}`)),
      );
      await Promise.all(writes);
      await store.broadcast(group, {
        type: "ping",
        itemId: undefined,
        value: Value.of(1),
        fires: { triggers: ["last"], depth: 2 },
      });
      await ear.until(41);
      ear.stop();
      const expected = Array.from({ length: 20 }, (_, i) => [[`t${i}`], [`u${i}`]]).flat();
      expect(ear.heard.map(({ triggers }) => triggers)).toEqual([...expected, ["last"]]);
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ seq }) => seq)).toEqual([...seqs, ...ear.heard.map(({ seq }) => seq)]);
      expect(ear.heard.at(-1)).toMatchObject({ group, depth: 2 });
    });

    it("tells of an entry only when whoever asks can read it, and its change too (G1, G6)", async () => {
      const { store, partition } = await filled(1);
      const looks: Promise<unknown>[] = [];
      const ear = hear(store, partition, (heads) => {
        for (const { seq } of heads) {
          looks.push(
            Promise.all([
              store.outbox.read(partition, seq),
              store.outbox.scan(partition, seq - 1, 1),
              store.get(group, "a"),
            ]).then(([entry, page, read]) => {
              const value = Number(entry?.event.value.json());
              // A later change may have been made meanwhile, which whoever asks sees, too.
              return [value, page[0]?.seq === seq, Number(read.item?.value.json()) >= value];
            }),
          );
        }
      });
      for (const value of [1, 2, 3]) await commit(store, group, firing(put("a", value), "t"));
      await ear.until(3);
      ear.stop();
      expect(await Promise.all(looks)).toEqual([1, 2, 3].map((value) => [value, true, true]));
    });

    it("tells nothing of what fires nothing, of a refusal, or after it stopped", async () => {
      const { store, partition } = await filled(1);
      const ear = hear(store, partition, () => {});
      const stayed = hear(store, partition, () => {});
      await commit(store, group, put("a", 1));
      await store.run(group, [{ mutations: [firing(put("a", 2, 0), "refused")] }]);
      await commit(store, group, firing(put("a", 3), "heard"));
      await ear.until(1);
      ear.stop();
      ear.stop();
      await commit(store, group, firing(put("a", 4), "later"));
      await stayed.until(2);
      stayed.stop();
      expect(ear.heard.map(({ triggers }) => triggers)).toEqual([["heard"]]);
      expect(stayed.heard.map(({ triggers }) => triggers)).toEqual([["heard"], ["later"]]);
    });

    it("tells nothing more to a listener that another one stopped", async () => {
      const { store, partition } = await filled(1);
      const ears: ReturnType<typeof hear>[] = [];
      const stopAll = () => ears.forEach(({ stop }) => stop());
      ears.push(hear(store, partition, stopAll), hear(store, partition, stopAll));
      const stayed = hear(store, partition, () => {});
      await commit(store, group, firing(put("a", 1), "t"));
      await stayed.until(1);
      stayed.stop();
      expect(ears.flatMap(({ heard }) => heard)).toHaveLength(1);
    });

    it("keeps one listener's failure from the others and from whoever writes", async () => {
      const { store, partition } = await filled(1);
      const failure = new Error("A listener failed.");
      const uncaught: unknown[] = [];
      const others = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException");
      process.on("uncaughtException", (error) => uncaught.push(error));
      const bad = hear(store, partition, () => {
        throw failure;
      });
      const ear = hear(store, partition, () => {});
      await commit(store, group, firing(put("a", 1), "t"));
      await commit(store, group, firing(put("a", 2), "t"));
      await ear.until(2);
      await new Promise((resolve) => setImmediate(resolve));
      process.removeAllListeners("uncaughtException");
      for (const listener of others) process.on("uncaughtException", listener);
      bad.stop();
      ear.stop();
      // Once for each time it was told: entries may come several at a time.
      expect(new Set(uncaught)).toEqual(new Set([failure]));
      expect(store.failure).toBeUndefined();
    });

    it("keeps the order of entries when a listener writes", async () => {
      const { store, partition, seqs } = await filled(1);
      const writes: Promise<unknown>[] = [];
      let answers = 0;
      const ear = hear(store, partition, () => {
        if (answers++ < 3)
          writes.push(commit(store, group, firing(put(`answer${answers}`, 1), "t")));
      });
      const all = hear(store, partition, () => {});
      const events = await listen(store, group);
      await commit(store, group, firing(put("a", 1), "t"), firing(put("b", 1), "t"));
      await Promise.all([ear.until(5), all.until(5), events.heard(5)]);
      await Promise.all(writes);
      ear.stop();
      all.stop();
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ seq }) => seq)).toEqual([...seqs, ...all.heard.map(({ seq }) => seq)]);
      expect(ear.heard).toEqual(all.heard);
      const items = await Promise.all(
        all.heard.map(async ({ seq }) => (await store.outbox.read(partition, seq))?.event.itemId),
      );
      expect(items).toEqual(events.events.map(({ itemId }) => itemId));
    });
  });
}
