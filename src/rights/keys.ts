import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { isName } from "../core/names.ts";
import { type Rule, everything } from "./rule.ts";
import { SettingError } from "./setting-error.ts";

/** A key of `auth.keys`: the key itself or its hash. */
export interface KeyEntry {
  /** Name of the key, in logs and as author (`key:<name>`). A key and its successor may share it. */
  readonly name: string;
  /** The key: printable ASCII without spaces, because it travels in a header. */
  readonly key?: string | undefined;
  /** SHA-256 of the key, as 64 hexadecimal digits. */
  readonly keySha256?: string | undefined;
  /** What callers with the key may do. Default: everything. */
  readonly allow?: readonly Rule[] | undefined;
}

/** A key that a caller presented and the service knows. */
export interface ServiceKey {
  readonly name: string;
  /** What callers with the key may do. */
  readonly allow: readonly Rule[];
}

/** All keys of a service. */
export interface KeyRing {
  /**
   * The key that a caller presents; undefined when it is unknown. The time that this takes reveals
   * nothing about any key.
   */
  find(presented: string): ServiceKey | undefined;
}

/** Begins each key that `newKey` makes, so that scanners of source code can find leaked ones. */
const KEY_PREFIX = "mk_";
const KEY_BYTES = 32;
const PRESENTABLE = /^[\x21-\x7e]+$/;
const SHA256_HEX = /^[\da-f]{64}$/i;

/** Name of the callers that present one of `api_tokens`; no key may have it. */
const API_TOKEN_NAME = "api";

/**
 * Collects all keys: those of `auth.keys`, and `api_tokens`, which may do everything.
 *
 * @throws SettingError for an entry without a usable key or name, or the same key twice.
 */
export function keyRing(entries: readonly KeyEntry[], apiTokens: readonly string[] = []): KeyRing {
  /** Keys by their hash, with the place of each. */
  const keys = new Map<string, Known>();
  for (const [index, token] of apiTokens.entries()) {
    const place = `api_tokens[${index}]`;
    if (token === "") throw new SettingError(place, "is empty; it may be printable ASCII.");
    const key = { name: API_TOKEN_NAME, allow: [everything(place)] };
    keys.set(hashOfKey(token), { place, digest: sha256(token), key });
  }
  for (const [index, entry] of entries.entries()) {
    const place = `auth.keys[${index}]`;
    const { name, allow = [everything(place)] } = entry;
    checkKeyName(name, `${place}.name`);
    const digest = digestOf(entry, place);
    const same = keys.get(digest.toString("hex"));
    if (same !== undefined) {
      throw new SettingError(
        place,
        `is the same key as ${same.place}; each entry needs a key of its own.`,
      );
    }
    keys.set(digest.toString("hex"), { place, digest, key: { name, allow } });
  }
  const all = Array.from(keys.values());
  return {
    find(presented) {
      const digest = sha256(presented);
      let found: ServiceKey | undefined;
      // Compares all keys, each in constant time.
      for (const each of all) if (timingSafeEqual(each.digest, digest)) found = each.key;
      return found;
    },
  };
}

interface Known {
  readonly place: string;
  /** SHA-256 of the key. */
  readonly digest: Buffer;
  readonly key: ServiceKey;
}

function checkKeyName(name: string, place: string): void {
  if (name === API_TOKEN_NAME) {
    throw new SettingError(
      place,
      `is ${JSON.stringify(name)}, the name of api_tokens; it may be another name.`,
    );
  }
  if (isName(name)) return;
  throw new SettingError(
    place,
    "is not a name; it may be 1 to 256 bytes without control characters.",
  );
}

/** Makes a key of 32 random bytes. */
export function newKey(): string {
  return KEY_PREFIX + randomBytes(KEY_BYTES).toString("base64url");
}

/** The hash of a key, for `key_sha256`: SHA-256 as 64 hexadecimal digits. */
export function hashOfKey(key: string): string {
  return sha256(key).toString("hex");
}

function digestOf({ key, keySha256 }: KeyEntry, place: string): Buffer {
  if ((key === undefined) === (keySha256 === undefined)) {
    throw new SettingError(
      place,
      `has ${key === undefined ? "no key" : "a key and its hash"}; it may have either key or key_sha256.`,
    );
  }
  if (key === undefined) {
    const hash = keySha256 as string;
    if (hash.toLowerCase() === hashOfKey("")) {
      throw new SettingError(
        `${place}.key_sha256`,
        "is the hash of nothing, such as of a variable that is not set; it may be that of a key.",
      );
    }
    if (SHA256_HEX.test(hash)) return Buffer.from(hash, "hex");
    throw new SettingError(
      `${place}.key_sha256`,
      "is not a SHA-256 hash; it may be the 64 hexadecimal digits that `millrace key` prints.",
    );
  }
  if (PRESENTABLE.test(key)) return sha256(key);
  throw new SettingError(
    `${place}.key`,
    "cannot be sent in a header; it may be printable ASCII without spaces, as `millrace key` prints.",
  );
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
