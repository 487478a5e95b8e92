import { createHash } from "node:crypto";

/** Any JSON value. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/**
 * The canonical text of a JSON value, whatever the order of its keys: equal values are equal texts.
 * A value over the recorder's limit is kept as a digest, which is again JSON: `{"chars","sha256"}`
 * plus its `tag`, and `"torn":true` when its seal was broken.
 */
export type ValueText = string;

/** Default of the characters above which a value is kept as its digest. */
export const DEFAULT_MAX_CHARS = 256;

/** The text of a value. */
export function valueText(value: Json, maxChars = DEFAULT_MAX_CHARS): ValueText {
  const text = canonical(value);
  if (text.length <= maxChars) return text;
  const tag = memberTag(value);
  return canonical({
    chars: text.length,
    sha256: createHash("sha256").update(text).digest("hex"),
    ...(tag === undefined ? {} : { tag }),
    ...(isBroken(value) ? { torn: true } : {}),
  });
}

/** First-level member `tag` of the value, if it is an object that has one. */
export function tagOf(text: ValueText): string | undefined {
  if (!text.startsWith("{") || !text.includes('"tag":')) return undefined;
  return memberTag(JSON.parse(text) as Json);
}

/**
 * A value that proves its own integrity: an object with the tag, the requested number of characters
 * of padding, which are derived from the tag, and a checksum of both.
 */
export function sealedValue(tag: string, padChars = 0): { tag: string; pad: string; sum: number } {
  const pad = padding(tag, padChars);
  return { tag, pad, sum: checksum(tag + pad) };
}

/** Whether the value was sealed once and no longer matches its seal. */
export function isTorn(text: ValueText): boolean {
  if (text.includes('"torn":true')) return true;
  if (!text.startsWith("{") || !text.includes('"sum":')) return false;
  return isBroken(JSON.parse(text) as Json);
}

function isBroken(value: Json): boolean {
  if (!isObject(value)) return false;
  const { tag, pad, sum } = value;
  if (typeof tag !== "string" || typeof pad !== "string" || typeof sum !== "number") return false;
  return sum !== checksum(tag + pad) || pad !== padding(tag, pad.length);
}

function memberTag(value: Json): string | undefined {
  if (!isObject(value)) return undefined;
  const tag = value["tag"];
  return typeof tag === "string" ? tag : undefined;
}

function isObject(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function canonical(value: Json): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${(value as readonly Json[]).map(canonical).join(",")}]`;
  const members = Object.entries(value as { readonly [key: string]: Json });
  members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(",")}}`;
}

/** FNV-1a over UTF-16 units: enough to detect a value that was cut or mixed. */
function checksum(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

function padding(tag: string, chars: number): string {
  if (chars === 0) return "";
  const unit = `${checksum(tag).toString(36)}.${tag}.`;
  return unit.repeat(Math.ceil(chars / unit.length)).slice(0, chars);
}
