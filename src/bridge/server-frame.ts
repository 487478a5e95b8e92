import type { ChangeEvent, Item, TransientEvent } from "../core/change.ts";
import type { StreamError } from "../core/errors.ts";
import type { GroupKey } from "../core/names.ts";
import type { Position } from "../core/position.ts";
import type { Target } from "./target.ts";

/*
 * What the bridge sends, as JSON text. The dialect is that of existing stream clients; `epoch`,
 * `revision` and `subscriptionId` are additions that they ignore.
 */

/** State at a position, for one subscription. */
export interface SyncContent {
  readonly items: readonly Item[];
  readonly position: Position;
  readonly timestamp: number;
  /** Which part it is, for clients that asked for parts. */
  readonly part: { readonly first: boolean; readonly last: boolean } | undefined;
}

/** The state of what a subscription follows: one value or null for an item, all values for a group. */
export function syncFrame(target: Target, subscriptionId: string, content: SyncContent): string {
  const { items, position, timestamp, part } = content;
  const values = items.map(({ value }) => value.text);
  const data = target.itemId === undefined ? `[${values.join(",")}]` : (values[0] ?? "null");
  const ids = JSON.stringify(items.map(({ itemId }) => itemId));
  const parts = part === undefined ? "" : `,"first":${part.first},"last":${part.last}`;
  const event = `{"type":"sync","data":${data},"ids":${ids}${parts}}`;
  return envelope(target, target.itemId, timestamp, event, position, subscriptionId);
}

// One text serves all sockets that hear the event.
const eventTexts = new WeakMap<ChangeEvent | TransientEvent, string>();

/** A change or a transient event of a group: the same text for everybody who hears it. */
export function eventFrame(group: GroupKey, event: ChangeEvent | TransientEvent): string {
  let text = eventTexts.get(event);
  if (text === undefined) {
    const { itemId, timestamp, value } = event;
    const content =
      event.kind === "change"
        ? `{"type":"${event.type}","data":${value.text}}`
        : `{"type":"event","event":{"type":${JSON.stringify(event.type)},"data":${value.text}}}`;
    const position = event.kind === "change" ? event.position : undefined;
    text = envelope(group, itemId, timestamp, content, position, undefined);
    eventTexts.set(event, text);
  }
  return text;
}

/** The position of a join was honoured: every later change follows. */
export function resumedFrame(
  target: Target,
  subscriptionId: string,
  position: Position,
  head: Position,
): string {
  const event = `{"type":"resumed","head":${JSON.stringify(head)}}`;
  return envelope(target, target.itemId, 0, event, position, subscriptionId);
}

/** Every matching change up to the position was sent before. */
export function heartbeatFrame(target: Target, subscriptionId: string, position: Position): string {
  return envelope(target, target.itemId, 0, '{"type":"heartbeat"}', position, subscriptionId);
}

/** A frame or a join was refused, or a subscription ended. */
export function errorFrame(
  error: StreamError,
  target: Target | undefined,
  subscriptionId: string | undefined,
): string {
  const { code, reason, message } = error;
  const where = target ?? { streamName: "", groupId: "", itemId: undefined };
  const event = JSON.stringify({ type: "error", code, reason, message });
  return envelope(where, where.itemId, 0, event, undefined, subscriptionId);
}

function envelope(
  { streamName, groupId }: GroupKey,
  itemId: string | undefined,
  timestamp: number,
  event: string,
  position: Position | undefined,
  subscriptionId: string | undefined,
): string {
  const at =
    position === undefined
      ? ""
      : `,"epoch":${JSON.stringify(position.epoch)},"revision":${position.revision}`;
  const id = itemId === undefined ? "null" : JSON.stringify(itemId);
  const sub =
    subscriptionId === undefined ? "" : `,"subscriptionId":${JSON.stringify(subscriptionId)}`;
  return (
    `{"type":"stream","timestamp":${timestamp}${at},"streamName":${JSON.stringify(streamName)},` +
    `"groupId":${JSON.stringify(groupId)},"id":${id}${sub},"event":${event}}`
  );
}
