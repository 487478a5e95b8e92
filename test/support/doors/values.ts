import type { Json } from "millrace";
import { random } from "../random.ts";

/** Arrays nested to `levels` levels. */
export function nested(levels: number): Json {
  let value: Json = "innermost";
  for (let level = 0; level < levels; level++) value = [value];
  return value;
}

/**
 * A string that takes `bytes` bytes, at least 130 and fewer than 2 MiB, as an encoded
 * google.protobuf.Value.
 */
export function textOfBytes(bytes: number): string {
  const lengthBytes = bytes - 2 < 0x80 ? 1 : bytes - 3 < 0x4000 ? 2 : 3;
  return "x".repeat(bytes - 1 - lengthBytes);
}

/** A string of `length` characters that does not compress to less than three quarters. */
export function noise(length: number, seed = 1): string {
  const { next } = random(seed);
  const bytes = Uint8Array.from({ length: Math.ceil((length * 3) / 4) }, () => next() * 256);
  return Buffer.from(bytes).toString("base64").slice(0, length);
}
