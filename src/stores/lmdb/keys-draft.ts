import type { Remembered } from "../../core/idempotency-key.ts";
import { type KeysExtent, isKeyExpired, mustForgetKey } from "../../core/idempotency.ts";
import type { Tables, View, Write } from "./disk.ts";
import { keyAtKey, keyIdKey, keysHeadKey, type GroupName } from "./keys.ts";
import { decodeNumber, encodeNumber } from "./encoding.ts";
import {
  NO_KEYS,
  decodeKey,
  decodeKeysRecord,
  encodeKey,
  encodeKeysRecord,
  type KeyRecord,
  type KeysRecord,
} from "./keys-encoding.ts";

/** Reads what a group remembers under the id of an idempotency key (see keyIdOf). */
export function readKey(
  view: View,
  tables: Tables,
  name: GroupName,
  id: string,
): KeyRecord | undefined {
  const at = view.get(tables.keys, keyIdKey(name, id));
  if (at === undefined) return undefined;
  const record = view.get(tables.keys, keyAtKey(name, decodeNumber(at)));
  return record === undefined ? undefined : decodeKey(record);
}

/** The idempotency keys of a group while a batch changes them. */
export class KeysDraft {
  readonly #name: GroupName;
  readonly #view: View;
  readonly #tables: Tables;
  readonly #windowMs: number;
  readonly #stored: KeysRecord;
  #record: KeysRecord;
  /** Keys that the view does not have, oldest first; the first of them has number `#newFrom`. */
  readonly #new: KeyRecord[] = [];
  readonly #newFrom: number;
  /** Number of the newest entry of an id, of those that the view does not have. */
  readonly #newById = new Map<string, number>();
  /** Records of the view that are removed. */
  readonly #removed: Buffer[] = [];

  constructor(name: GroupName, view: View, tables: Tables, windowMs: number) {
    this.#name = name;
    this.#view = view;
    this.#tables = tables;
    this.#windowMs = windowMs;
    const bytes = view.get(tables.keys, keysHeadKey(name));
    this.#stored = bytes === undefined ? NO_KEYS : decodeKeysRecord(bytes);
    this.#record = this.#stored;
    this.#newFrom = this.#stored.next;
  }

  /** Their number and age. */
  get extent(): KeysExtent {
    const { first, next, oldestMs } = this.#record;
    return { count: next - first, oldestMs };
  }

  /** What is remembered under an id. */
  recall(id: string, nowMs: number): Remembered | undefined {
    const number = this.#newById.get(id);
    const found =
      number === undefined
        ? readKey(this.#view, this.#tables, this.#name, id)
        : this.#new[number - this.#newFrom];
    if (found === undefined || isKeyExpired(found.timeMs, nowMs, this.#windowMs)) return undefined;
    return found.remembered;
  }

  /** Remembers a commit. */
  add(id: string, remembered: Remembered, nowMs: number): void {
    const { first, next, newestMs } = this.#record;
    const timeMs = Math.max(newestMs, nowMs);
    const oldestMs = first === next ? timeMs : this.#record.oldestMs;
    this.#new.push({ id, timeMs, remembered });
    this.#newById.set(id, next);
    this.#record = { first, next: next + 1, oldestMs, newestMs: timeMs };
  }

  /** Forgets keys that are too old or too many, at most `maxDrops`. @returns How many. */
  trim(nowMs: number, maxDrops: number): number {
    let dropped = 0;
    for (; dropped < maxDrops && mustForgetKey(this.extent, nowMs, this.#windowMs); dropped++) {
      const { first } = this.#record;
      this.#forget(first);
      this.#record = {
        ...this.#record,
        first: first + 1,
        oldestMs: this.#at(first + 1)?.timeMs ?? 0,
      };
    }
    return dropped;
  }

  /** Adds the writes. To be called once. */
  collect(writes: Write[]): void {
    if (this.#record === this.#stored) return;
    const { keys } = this.#tables;
    const name = this.#name;
    // Removals come first: an expired key may be in use again, under the same id.
    for (const key of this.#removed) writes.push({ table: keys, key, value: undefined });
    const { first, next } = this.#record;
    for (let number = Math.max(first, this.#newFrom); number < next; number++) {
      const record = this.#new[number - this.#newFrom] as KeyRecord;
      writes.push({ table: keys, key: keyAtKey(name, number), value: encodeKey(record) });
    }
    for (const [id, number] of this.#newById)
      writes.push({ table: keys, key: keyIdKey(name, id), value: encodeNumber(number) });
    const value = first === next ? undefined : encodeKeysRecord(this.#record);
    writes.push({ table: keys, key: keysHeadKey(name), value });
  }

  /** An expired key that was used again has a newer record, to which its id leads. */
  #forget(number: number): void {
    const record = this.#at(number);
    if (number >= this.#newFrom) {
      if (record !== undefined && this.#newById.get(record.id) === number)
        this.#newById.delete(record.id);
      return;
    }
    this.#removed.push(keyAtKey(this.#name, number));
    if (record === undefined) return;
    const idKey = keyIdKey(this.#name, record.id);
    const at = this.#view.get(this.#tables.keys, idKey);
    if (at !== undefined && decodeNumber(at) === number) this.#removed.push(idKey);
  }

  #at(number: number): KeyRecord | undefined {
    if (number >= this.#newFrom) return this.#new[number - this.#newFrom];
    const bytes = this.#view.get(this.#tables.keys, keyAtKey(this.#name, number));
    return bytes === undefined ? undefined : decodeKey(bytes);
  }
}
