import type { Position } from "../../../src/core/position.ts";
import type { Recorder } from "../checker/index.ts";
import { type Client, STREAM, itemInput, json, required } from "./traffic.ts";

/**
 * Reads all items of a group, page by page, and records the listing.
 *
 * @returns position of the last page.
 */
export async function list(
  client: Client,
  recorder: Recorder,
  group: string,
  final: boolean,
): Promise<Position> {
  const handle = recorder.list(group, { final });
  let pageToken = "";
  for (;;) {
    const page = await client.list({ streamName: STREAM, groupId: group, pageSize: 25, pageToken });
    const position = required(page.position);
    handle.page(page.items.map(itemInput), position);
    pageToken = page.nextPageToken;
    if (pageToken !== "") continue;
    handle.done();
    return position;
  }
}

/** Reads one item and records the response. */
export async function get(
  client: Client,
  recorder: Recorder,
  group: string,
  itemId: string,
): Promise<void> {
  const handle = recorder.get(group, itemId);
  const { item } = await client.get({ streamName: STREAM, groupId: group, itemId });
  if (item === undefined) handle.missing();
  else handle.found(json(item.data), Number(item.revision));
}
