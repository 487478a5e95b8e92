import type { DescMessage } from "@bufbuild/protobuf";
import { type Reason, StreamError } from "../../../src/core/errors.ts";
import { NOT_UTF8, joined, part, utf8 } from "./raw-wire.ts";

/** One invalid input, in those of the forms binary and JSON that can express it. */
export interface Row {
  readonly what: string;
  readonly desc: DescMessage;
  readonly binary?: Uint8Array;
  readonly json?: string | Uint8Array;
  readonly reason: Reason;
  readonly field: string | undefined;
  readonly says: RegExp;
  readonly index?: string;
}

/** Bytes that are not UTF-8. */
export const CUT_SHORT: Uint8Array = NOT_UTF8[0] ?? utf8("");

/** JSON text with bytes that are not UTF-8 where the text has `?`. */
export function broken(text: string): Uint8Array {
  const [before = "", after = ""] = text.split("?");
  return joined(utf8(before), CUT_SHORT, utf8(after));
}

/** An update request with one operation: `op` is the number of its kind and `body` its content. */
export function update(op: number, ...body: Uint8Array[]): Uint8Array {
  return part(4, part(op, ...body));
}

/** A set request with this `google.protobuf.Value`. */
export function set(...value: Uint8Array[]): Uint8Array {
  return part(4, ...value);
}

/** The error that a decoder throws. */
export function refusal(decode: () => unknown): StreamError {
  try {
    decode();
  } catch (error) {
    if (error instanceof StreamError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
