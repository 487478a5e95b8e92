import { NO_AUTHOR } from "../../core/author.ts";
import type { GroupEvent } from "../../core/change.ts";
import type { OutboxEntry, OutboxHead } from "../../core/outbox.ts";
import { Value } from "../../core/value.ts";

/*
 * An entry of the outbox: length of its head (4 bytes), the head as JSON, the text of the event's
 * value. A head can be read without the value, which may be large.
 */
const HEAD_AT = 4;

interface StoredHead extends Omit<OutboxHead, "seq"> {
  /** The event without its value. Without author, it has no such member. */
  readonly event: Omit<GroupEvent, "value" | "author"> & { readonly author?: string | undefined };
  /** `Value.size` of the value. */
  readonly size: number;
}

/** The bytes of an entry, without its sequence number. */
export function encodeEntry({ group, triggers, depth, event }: Omit<OutboxEntry, "seq">): Buffer {
  const { value, author, ...rest } = event;
  const stored: StoredHead = {
    ...{ group, triggers, depth },
    event: author === NO_AUTHOR ? rest : { ...rest, author },
    size: value.size,
  };
  const head = JSON.stringify(stored);
  const headBytes = Buffer.byteLength(head);
  const bytes = Buffer.allocUnsafe(HEAD_AT + headBytes + Buffer.byteLength(value.text));
  bytes.writeUInt32BE(headBytes, 0);
  bytes.write(head, HEAD_AT);
  bytes.write(value.text, HEAD_AT + headBytes);
  return bytes;
}

/** Reads an entry's head. */
export function decodeHead(seq: number, bytes: Buffer): OutboxHead {
  const { group, triggers, depth } = storedHead(bytes);
  return { seq, group, triggers, depth };
}

/** Reads a whole entry. */
export function decodeEntry(seq: number, bytes: Buffer): OutboxEntry {
  const { group, triggers, depth, event, size } = storedHead(bytes);
  const text = bytes.toString("utf8", HEAD_AT + bytes.readUInt32BE(0));
  // JSON omits the item id of an event without an item.
  const itemId: string | undefined = "itemId" in event ? event.itemId : undefined;
  const value = Value.trusted(text, size);
  const { author = NO_AUTHOR } = event;
  return { seq, group, triggers, depth, event: { ...event, itemId, value, author } as GroupEvent };
}

function storedHead(bytes: Buffer): StoredHead {
  return JSON.parse(bytes.toString("utf8", HEAD_AT, HEAD_AT + bytes.readUInt32BE(0))) as StoredHead;
}
