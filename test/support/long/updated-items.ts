import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { expect } from "vitest";
import type { History, Recorder } from "../checker/index.ts";
import { type Client, type Items, STREAM, appendText, itemInput, plain } from "./traffic.ts";

/**
 * Gives the items of updates a text that is longer than the steps of an update, so that these come
 * as deltas.
 */
export async function openUpdatedItems(
  client: Client,
  recorder: Recorder,
  group: string,
  { updated }: Items,
): Promise<void> {
  const all = updated.map((item) => {
    const tag = `open-${group}-${item}`;
    const value = fromJson(ValueSchema, { tag });
    const merge = { op: { case: "merge" as const, value: { path: [], value } } };
    return { item, tag, ops: [merge, appendText("x".repeat(400))] };
  });
  const inputs = all.map(({ item, tag }) => ({ op: "update" as const, item, tag }));
  const handle = recorder.write({ group, mutations: inputs, batch: true });
  const { position } = await client.batch({
    streamName: STREAM,
    groupId: group,
    mutations: all.map(({ item, ops }) => ({
      mutation: { case: "update" as const, value: { itemId: item, ops } },
    })),
  });
  handle.acked({ position: plain(position) });
}

/**
 * Verifies that the counter of each item of updates has every acknowledged increment once, and every
 * one with an unknown outcome at most once.
 */
export async function expectExactCounters(
  client: Client,
  history: History,
  groups: readonly string[],
  { updated }: Items,
): Promise<void> {
  const outcomes = new Map<string, string>();
  for (const record of history)
    if (record.kind === "outcome") outcomes.set(record.id, record.outcome);
  const acked = new Map<string, number>();
  const unknown = new Map<string, number>();
  for (const record of history) {
    if (record.kind !== "write") continue;
    const outcome = outcomes.get(record.id) ?? "unknown";
    const counts = outcome === "acked" ? acked : outcome === "unknown" ? unknown : undefined;
    for (const { op, item, tag } of record.mutations) {
      if (op !== "update" || tag?.startsWith("open-") === true) continue;
      const key = `${record.group} ${item}`;
      counts?.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  const wrong: string[] = [];
  let sum = 0;
  for (const group of groups) {
    for (const item of updated) {
      const found = await client.get({ streamName: STREAM, groupId: group, itemId: item });
      const value = found.item === undefined ? {} : itemInput(found.item).value;
      const counter = (value as { readonly n?: number }).n ?? 0;
      const least = acked.get(`${group} ${item}`) ?? 0;
      const most = least + (unknown.get(`${group} ${item}`) ?? 0);
      if (counter < least || counter > most)
        wrong.push(`${group} ${item} is ${counter}, not ${least} to ${most}`);
      sum += counter;
    }
  }
  expect(wrong).toEqual([]);
  console.info(`counters: ${sum} increments, each once`);
}
