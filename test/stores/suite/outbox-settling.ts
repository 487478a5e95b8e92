import { describe, expect, it } from "vitest";
import type { OutboxHead } from "../../../src/core/outbox.ts";
import type { Store } from "../../../src/core/store.ts";
import { Value } from "../../../src/core/value.ts";
import type { OpenStore } from "./fixture.ts";
import { commit, groupOf, listen, put } from "./fixture.ts";
import { firing, waitingOf } from "./outbox.ts";
import { storesOf } from "./setup.ts";

// No process has owned a partition before.
const FENCE = "";

/** Records the entries of a partition and lets a test wait for them. */
function record(store: Store, partition: number, onHeads: (heads: readonly OutboxHead[]) => void) {
  const received: OutboxHead[] = [];
  let waiter: { readonly count: number; readonly resolve: () => void } | undefined;
  const stop = store.outbox.watch(partition, (heads) => {
    received.push(...heads);
    onHeads(heads);
    if (waiter !== undefined && received.length >= waiter.count) waiter.resolve();
  });
  const until = (count: number) =>
    new Promise<void>((resolve) => {
      if (received.length >= count) resolve();
      else waiter = { count, resolve };
    });
  return { received, stop, until };
}

/** Reading, settling and watching the outbox. */
export function describeOutboxSettling(open: OpenStore): void {
  const stores = storesOf(open);
  const group = groupOf("room");

  /** A store with `count` entries of one group, each for `t` and `u`. */
  const filled = async (count: number) => {
    const { store } = await stores();
    const mutations = Array.from({ length: count }, (_, i) => firing(put(`i${i}`, i), "t", "u"));
    await commit(store, group, ...mutations);
    const { partition, heads } = await waitingOf(store, group);
    return { store, partition, seqs: heads.map(({ seq }) => seq) };
  };

  describe("reading the outbox", () => {
    it("pages through all entries once, oldest first", async () => {
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

    it("continues at its place while entries are added and settled", async () => {
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
    it("removes complete entries, and no others", async () => {
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

    it("keeps the unsettled triggers of an entry", async () => {
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

    it("accepts partial and complete settlements together, in any order", async () => {
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

    it("of nothing, of a missing entry, and a second time changes nothing", async () => {
      const { store, partition, seqs } = await filled(2);
      const done = { seq: seqs[0] as number, triggers: ["t", "u"], complete: true };
      await store.outbox.settle(partition, [], FENCE);
      await store.outbox.settle(partition, [done], FENCE);
      await store.outbox.settle(partition, [done, { ...done, seq: 1_000_000 }], FENCE);
      await store.outbox.settle(partition, [{ ...done, complete: false }], FENCE);
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ seq, triggers }) => [seq, triggers])).toEqual([[seqs[1], ["t", "u"]]]);
    });

    it("never reuses the number of an entry while the store is open", async () => {
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
    it("reports new entries once and in order, and no older ones", async () => {
      const { store, partition, seqs } = await filled(2);
      const recorder = record(store, partition, () => {});
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
      await recorder.until(41);
      recorder.stop();
      const expected = Array.from({ length: 20 }, (_, i) => [[`t${i}`], [`u${i}`]]).flat();
      expect(recorder.received.map(({ triggers }) => triggers)).toEqual([...expected, ["last"]]);
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ seq }) => seq)).toEqual([
        ...seqs,
        ...recorder.received.map(({ seq }) => seq),
      ]);
      expect(recorder.received.at(-1)).toMatchObject({ group, depth: 2 });
    });

    it("reports an entry only when it and its change can be read (G1, G6)", async () => {
      const { store, partition } = await filled(1);
      const looks: Promise<unknown>[] = [];
      const recorder = record(store, partition, (heads) => {
        for (const { seq } of heads) {
          looks.push(
            Promise.all([
              store.outbox.read(partition, seq),
              store.outbox.scan(partition, seq - 1, 1),
              store.get(group, "a"),
            ]).then(([entry, page, read]) => {
              const value = Number(entry?.event.value.json());
              // The read may also see a later change.
              return [value, page[0]?.seq === seq, Number(read.item?.value.json()) >= value];
            }),
          );
        }
      });
      for (const value of [1, 2, 3]) await commit(store, group, firing(put("a", value), "t"));
      await recorder.until(3);
      recorder.stop();
      expect(await Promise.all(looks)).toEqual([1, 2, 3].map((value) => [value, true, true]));
    });

    it("reports nothing for writes that fire nothing, for refusals, or after it stopped", async () => {
      const { store, partition } = await filled(1);
      const recorder = record(store, partition, () => {});
      const stayed = record(store, partition, () => {});
      await commit(store, group, put("a", 1));
      await store.run(group, [{ mutations: [firing(put("a", 2, 0), "refused")] }]);
      await commit(store, group, firing(put("a", 3), "seen"));
      await recorder.until(1);
      recorder.stop();
      recorder.stop();
      await commit(store, group, firing(put("a", 4), "later"));
      await stayed.until(2);
      stayed.stop();
      expect(recorder.received.map(({ triggers }) => triggers)).toEqual([["seen"]]);
      expect(stayed.received.map(({ triggers }) => triggers)).toEqual([["seen"], ["later"]]);
    });

    it("reports nothing more to a listener that another one stopped", async () => {
      const { store, partition } = await filled(1);
      const recorders: ReturnType<typeof record>[] = [];
      const stopAll = () => recorders.forEach(({ stop }) => stop());
      recorders.push(record(store, partition, stopAll), record(store, partition, stopAll));
      const stayed = record(store, partition, () => {});
      await commit(store, group, firing(put("a", 1), "t"));
      await stayed.until(1);
      stayed.stop();
      expect(recorders.flatMap(({ received }) => received)).toHaveLength(1);
    });

    it("isolates a listener's failure from the other listeners and from writers", async () => {
      const { store, partition } = await filled(1);
      const failure = new Error("A listener failed.");
      const uncaught: unknown[] = [];
      const others = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException");
      process.on("uncaughtException", (error) => uncaught.push(error));
      const bad = record(store, partition, () => {
        throw failure;
      });
      const recorder = record(store, partition, () => {});
      await commit(store, group, firing(put("a", 1), "t"));
      await commit(store, group, firing(put("a", 2), "t"));
      await recorder.until(2);
      await new Promise((resolve) => setImmediate(resolve));
      process.removeAllListeners("uncaughtException");
      for (const listener of others) process.on("uncaughtException", listener);
      bad.stop();
      recorder.stop();
      // One error for each notification: entries may come several at a time.
      expect(new Set(uncaught)).toEqual(new Set([failure]));
      expect(store.failure).toBeUndefined();
    });

    it("keeps the order of entries when a listener writes", async () => {
      const { store, partition, seqs } = await filled(1);
      const writes: Promise<unknown>[] = [];
      let answers = 0;
      const recorder = record(store, partition, () => {
        if (answers++ < 3)
          writes.push(commit(store, group, firing(put(`answer${answers}`, 1), "t")));
      });
      const all = record(store, partition, () => {});
      const events = await listen(store, group);
      await commit(store, group, firing(put("a", 1), "t"), firing(put("b", 1), "t"));
      await Promise.all([recorder.until(5), all.until(5), events.received(5)]);
      await Promise.all(writes);
      recorder.stop();
      all.stop();
      const { heads } = await waitingOf(store, group);
      expect(heads.map(({ seq }) => seq)).toEqual([...seqs, ...all.received.map(({ seq }) => seq)]);
      expect(recorder.received).toEqual(all.received);
      const items = await Promise.all(
        all.received.map(
          async ({ seq }) => (await store.outbox.read(partition, seq))?.event.itemId,
        ),
      );
      expect(items).toEqual(events.events.map(({ itemId }) => itemId));
    });
  });
}
