import type { Outbox } from "../core/outbox.ts";

/**
 * The lineages of all partitions, as one text: equal as long as no partition has lost history;
 * undefined when the outbox does not notice that.
 *
 * @throws StreamError STORE_UNAVAILABLE
 */
export async function lineageOf(outbox: Outbox): Promise<string | undefined> {
  if (outbox.lineage === undefined) return undefined;
  const partitions = Array.from({ length: outbox.partitions }, (_, partition) => partition);
  const read = async (partition: number) => (await outbox.lineage?.(partition)) ?? "";
  const lineages = await Promise.all(partitions.map(read));
  // Most never lose any.
  return lineages.flatMap((lineage, i) => (lineage === "" ? [] : [`${i}:${lineage}`])).join(" ");
}
