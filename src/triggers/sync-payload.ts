import type { SyncFrame } from "../core/frame.ts";
import type { GroupKey } from "../core/names.ts";
import type { StartReason } from "../core/trigger.ts";

/**
 * The payload for a part of the state of a group, or of one item: JSON text in the form of a `sync`
 * of the WebSocket protocol in parts, with the reason.
 *
 * @param itemId Undefined: the state is that of the whole group.
 */
export function syncPayload(
  group: GroupKey,
  itemId: string | undefined,
  frame: SyncFrame,
  reason: StartReason,
): string {
  const { items, position, first, last, timestamp } = frame;
  const values = items.map(({ value }) => value.text);
  const data = itemId === undefined ? `[${values.join(",")}]` : (values[0] ?? "null");
  const ids = JSON.stringify(items.map((item) => item.itemId));
  return (
    `{"type":"stream","timestamp":${timestamp},"epoch":${JSON.stringify(position.epoch)},` +
    `"revision":${position.revision},"streamName":${JSON.stringify(group.streamName)},` +
    `"groupId":${JSON.stringify(group.groupId)},"id":${JSON.stringify(itemId ?? null)},` +
    `"event":{"type":"sync","data":${data},"ids":${ids},"first":${first},"last":${last},` +
    `"reason":"${reason}"},"author":""}`
  );
}
