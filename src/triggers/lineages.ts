import type { Outbox } from "../core/outbox.ts";

/**
 * The lineages of all partitions, as one text, which stays the same as long as no partition loses
 * history; undefined when the outbox has none.
 *
 * @throws StreamError STORE_UNAVAILABLE
 */
export async function lineageOf(outbox: Outbox): Promise<string | undefined> {
  if (outbox.lineage === undefined) return undefined;
  const partitions = Array.from({ length: outbox.partitions }, (_, partition) => partition);
  const read = async (partition: number) => (await outbox.lineage?.(partition)) ?? "";
  const lineages = await Promise.all(partitions.map(read));
  // Most partitions never lose history.
  return lineages.flatMap((lineage, i) => (lineage === "" ? [] : [`${i}:${lineage}`])).join(" ");
}
