import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Recorder } from "../checker/index.ts";
import { type Client, type Items, STREAM, appendText, plain } from "./traffic.ts";

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
