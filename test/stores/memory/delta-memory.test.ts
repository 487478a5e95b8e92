import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import type { UpdateOp } from "../../../src/core/ops.ts";
import { memoryStore } from "../../../src/stores/memory/memory-store.ts";
import { op } from "../../core/op-builders.ts";
import { update } from "../suite/deltas.ts";
import { groupOf } from "../suite/fixture.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const group = groupOf("room");
const ITEMS = 40;
const APPENDS = 400;
const TEXT_BYTES = 60;

/** Bytes of the heap that are in use. */
async function usedBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await new Promise(setImmediate);
    collectGarbage();
  }
  return process.memoryUsage().heapUsed;
}

/** Memory of an item after appends, as a multiple of its text, in a store with this history. */
async function memoryOf(maxChanges: number): Promise<number> {
  const store = memoryStore({ history: { maxChanges }, sweepIntervalMs: 0 });
  const grow = async (itemId: string) => {
    for (let start = 0; start < APPENDS; start += 100) {
      const mutations = Array.from({ length: 100 }, (_, i) => {
        const step: UpdateOp = op.append(["text"], String(start + i).padStart(TEXT_BYTES, "0"));
        return update(itemId, step);
      });
      await store.run(group, [{ mutations }]);
    }
  };
  await grow("first");
  const before = await usedBytes();
  for (let i = 0; i < ITEMS; i++) await grow(`i${i}`);
  const grown = (await usedBytes()) - before;
  const { item } = await store.get(group, "i7");
  expect(item?.value.text.length).toBe(APPENDS * TEXT_BYTES + '{"text":""}'.length);
  await store.close();
  return grown / (ITEMS * APPENDS * TEXT_BYTES);
}

it("a text that was appended to 400 times takes the memory of its text, not of its history", async () => {
  const ratio = await memoryOf(1);
  console.info(`delta memory: ${ratio.toFixed(2)} times the text`);
  expect(ratio).toBeLessThan(1.5);
});
