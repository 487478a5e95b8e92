import { RETRY_AFTER_MS } from "../limits/refusals.ts";
import type { Item, LiveEvent } from "../core/change.ts";
import type { StreamError } from "../core/errors.ts";
import { NO_AUTHOR } from "../core/author.ts";
import { type SyncFrame, hasAuthor } from "../core/frame.ts";
import { type GroupKey, MAX_NAME_BYTES } from "../core/names.ts";
import type { Position } from "../core/position.ts";
import {
  byteLengthOf,
  createRecent,
  createRecentForReaders,
} from "../wire/response/encode-once.ts";
import type { Target } from "./target.ts";
import { textFrame } from "./text-frame.ts";

/*
 * The frames that the bridge sends, as JSON text. The format is that of existing stream clients;
 * `epoch`, `revision` and `subscriptionId` are additions that they ignore.
 */

/** A subscription, and how its client takes snapshots. */
export interface SyncForm extends Target {
  readonly subscriptionId: string;
  /** Whether it requested parts; otherwise a frame is the whole snapshot. */
  readonly parts: boolean;
  /** Whether it requested items, in place of their values and ids. */
  readonly items: boolean;
  /** Size of its window; undefined: it has none. */
  readonly window: number | undefined;
}

/**
 * The state that a subscription follows: one value or null for an item, all values for a group.
 *
 * @param withAuthors Whether the socket gets authors.
 */
export function syncFrame(
  form: SyncForm,
  frame: Omit<SyncFrame, "kind">,
  withAuthors: boolean,
): Buffer {
  const { position, timestamp, first, last, truncated = false, olderPageToken } = frame;
  const event = ['{"type":"sync",', stateOf(form, frame, withAuthors)];
  if (form.parts) event.push(`,"first":${first},"last":${last}`);
  if (form.window !== undefined) event.push(`,"truncated":${truncated}`);
  if (olderPageToken !== undefined) event.push(`,"olderPageToken":"${olderPageToken}"`);
  event.push("}");
  return envelope(form, form.itemId, timestamp, event, position, form.subscriptionId);
}

function stateOf(
  { items, itemId }: SyncForm,
  frame: Pick<SyncFrame, "items">,
  withAuthors: boolean,
): string | Buffer {
  if (items) return itemsState(frame, withAuthors);
  return itemId === undefined ? groupState(frame) : itemState(frame);
}

/** The state of a group, encoded once for all subscriptions that get it. */
const groupState = createRecent(({ items }: Pick<SyncFrame, "items">): Buffer => {
  const values = items.map(({ value }) => value.text);
  const ids = JSON.stringify(items.map(({ itemId }) => itemId));
  return Buffer.from(`"data":[${values.join(",")}],"ids":${ids}`);
}, byteLengthOf);

function itemState({ items: [item] }: Pick<SyncFrame, "items">): string {
  const ids = item === undefined ? "[]" : `[${JSON.stringify(item.itemId)}]`;
  return `"data":${item?.value.text ?? "null"},"ids":${ids}`;
}

/** The items of a state, encoded once for all subscriptions that get them. */
const itemsState = createRecentForReaders(
  ({ items }: Pick<SyncFrame, "items">, withAuthor): Buffer =>
    Buffer.from(`"items":[${items.map((item) => itemObject(item, withAuthor)).join(",")}]`),
  ({ items }) => items.some(({ author }) => author !== NO_AUTHOR),
  byteLengthOf,
);

/** An item. Its times are Unix milliseconds, like all times on sockets. */
function itemObject(item: Item, withAuthor: boolean): string {
  const { itemId, value, revision, createTimeMs, updateTimeMs, author, lifetime } = item;
  const expireTimeMs = lifetime?.expireTimeMs;
  const expires = expireTimeMs === undefined ? "" : `,"expireTime":${expireTimeMs}`;
  const end = withAuthor && author !== NO_AUTHOR ? `,"author":${JSON.stringify(author)}}` : "}";
  return (
    `{"id":${JSON.stringify(itemId)},"data":${value.text},"revision":${revision},` +
    `"createTime":${createTimeMs},"updateTime":${updateTimeMs}${expires}${end}`
  );
}

/** Size of the values of items in a frame, in bytes. */
export function itemsBytes(items: readonly Item[]): number {
  return items.reduce((sum, { value }) => sum + Buffer.byteLength(value.text) + 1, 0);
}

/**
 * A change or a transient event of a group, encoded once for all sockets that receive it.
 * `withAuthor`: whether they get authors.
 */
export const eventFrame = createRecentForReaders(
  (event: LiveEvent, withAuthor, group: GroupKey): Buffer => {
    const { itemId, timestamp } = event;
    const content = contentOf(event);
    const position = event.kind === "event" ? undefined : event.position;
    const author = withAuthor ? event.author : NO_AUTHOR;
    return envelope(group, itemId, timestamp, [content], position, undefined, author);
  },
  hasAuthor,
  byteLengthOf,
);

function contentOf(event: LiveEvent): string {
  switch (event.kind) {
    case "change": {
      const cause = event.cause === undefined ? "" : `,"cause":"${event.cause}"`;
      return `{"type":"${event.type}","data":${event.value.text}${cause}}`;
    }
    case "delta": {
      const { text, baseRevision } = event.delta;
      return `{"type":"update","ops":${text},"baseRevision":${baseRevision}}`;
    }
    case "event": {
      const type = JSON.stringify(event.type);
      return `{"type":"event","event":{"type":${type},"data":${event.value.text}}}`;
    }
  }
}

/** The position of a join was honoured: every later change follows. */
export function resumedFrame(
  target: Target,
  subscriptionId: string,
  position: Position,
  head: Position,
): Buffer {
  const event = `{"type":"resumed","head":${JSON.stringify(head)}}`;
  return envelope(target, target.itemId, 0, [event], position, subscriptionId);
}

/** Every matching change up to the position was sent before. */
export function heartbeatFrame(target: Target, subscriptionId: string, position: Position): Buffer {
  return envelope(target, target.itemId, 0, ['{"type":"heartbeat"}'], position, subscriptionId);
}

/**
 * A frame or a join was refused, or a subscription ended. A refusal by a gate has a separate type.
 * `metadata` is there only when it says when to try again.
 */
export function errorFrame(
  error: StreamError,
  target: Target | undefined,
  subscriptionId: string | undefined,
): Buffer {
  const { code, reason, message } = error;
  const retryAfterMs = error.metadata[RETRY_AFTER_MS];
  const metadata = retryAfterMs === undefined ? undefined : { [RETRY_AFTER_MS]: retryAfterMs };
  const where = target === undefined || !isShort(target) ? NOWHERE : target;
  if (reason === "JOIN_REFUSED") return unauthorizedFrame(where, subscriptionId);
  const event = { type: "error", code, reason, message, metadata };
  return envelope(where, where.itemId, 0, [JSON.stringify(event)], undefined, subscriptionId);
}

/**
 * The service ended a subscription.
 *
 * @param saidHello Whether the client said hello; others learn only that it has ended.
 */
export function endedFrame(
  { code, reason, message }: StreamError,
  target: Target,
  subscriptionId: string,
  saidHello: boolean,
): Buffer {
  if (!saidHello) return unauthorizedFrame(target, subscriptionId);
  const event = JSON.stringify({ type: "ended", code, reason, message });
  return envelope(target, target.itemId, 0, [event], undefined, subscriptionId);
}

/** A join was refused, or was ended before its first frame. @see errorFrame, endedFrame */
export function refusalFrame(
  error: StreamError,
  target: Target,
  subscriptionId: string,
  saidHello: boolean,
): Buffer {
  return error.reason === "SUBSCRIPTION_ENDED"
    ? endedFrame(error, target, subscriptionId, saidHello)
    : errorFrame(error, target, subscriptionId);
}

function unauthorizedFrame(target: Target, subscriptionId: string | undefined): Buffer {
  const where = isShort(target) ? target : NOWHERE;
  const event = '{"type":"unauthorized"}';
  return envelope(where, where.itemId, 0, [event], undefined, subscriptionId);
}

const NOWHERE: Target = { streamName: "", groupId: "", itemId: undefined };

/** Whether the names may be echoed: overlong names of a client are not sent back. */
function isShort({ streamName, groupId, itemId = "" }: Target): boolean {
  return Math.max(streamName.length, groupId.length, itemId.length) <= MAX_NAME_BYTES;
}

function envelope(
  { streamName, groupId }: GroupKey,
  itemId: string | undefined,
  timestamp: number,
  event: readonly (string | Buffer)[],
  position: Position | undefined,
  subscriptionId: string | undefined,
  author = NO_AUTHOR,
): Buffer {
  const at =
    position === undefined
      ? ""
      : `,"epoch":${JSON.stringify(position.epoch)},"revision":${position.revision}`;
  const id = itemId === undefined ? "null" : JSON.stringify(itemId);
  const sub =
    subscriptionId === undefined ? "" : `,"subscriptionId":${JSON.stringify(subscriptionId)}`;
  const before =
    `{"type":"stream","timestamp":${timestamp}${at},"streamName":${JSON.stringify(streamName)},` +
    `"groupId":${JSON.stringify(groupId)},"id":${id}${sub},"event":`;
  const after = author === NO_AUTHOR ? "}" : `,"author":${JSON.stringify(author)}}`;
  return textFrame([before, ...event, after]);
}
