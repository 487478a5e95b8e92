import { isRecord } from "../core/is-record.ts";
import type { StreamError } from "../core/errors.ts";
import { invalid } from "./invalid.ts";
import { textFrame } from "./text-frame.ts";

/** A call of a method of the service. */
export interface CallFrame {
  readonly type: "call";
  /** Chosen by the client: names the call in its result. */
  readonly id: number;
  /** Not checked yet, so that a result can refuse them. */
  readonly method: unknown;
  readonly params: unknown;
}

/** Reads a call. @throws StreamError REQUEST_INVALID when its id cannot name it in a result. */
export function readCall(data: unknown): CallFrame {
  if (!isRecord(data)) throw invalid("data", "is not an object", "{id, method, params}");
  const { id, method, params } = data;
  if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0)
    throw invalid("id", "is not the id of a call", "an integer from 0 to 2^53-1");
  return { type: "call", id, method, params };
}

/** The response to a call. @param json The response of the method, as JSON with plain numbers. */
export function callResultFrame(id: number, json: string): Buffer {
  return textFrame([`{"type":"result","data":{"id":${id},"result":`, json, "}}"]);
}

/** The response to a call that failed. */
export function failedCallFrame(
  id: number,
  { code, reason, message, metadata }: StreamError,
): Buffer {
  const error = { code, reason, message, metadata };
  return textFrame([JSON.stringify({ type: "result", data: { id, error } })]);
}
