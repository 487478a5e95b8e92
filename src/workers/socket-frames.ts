import { isRecord } from "../core/is-record.ts";
import type { OutgoingCall } from "./invocations.ts";
import { MAX_NESTING, withoutTooDeep } from "../core/nesting.ts";

/*
 * The frames of door 2, as published workers speak them: JSON objects with a `type` in small letters.
 */

/** The known messages of a worker. */
export type SocketFrame =
  | {
      readonly type: "reattach";
      readonly previousWorkerId: string;
      readonly reattachToken: string;
    }
  | { readonly type: "registerfunction"; readonly id: string; readonly isHttp: boolean }
  | { readonly type: "unregisterfunction"; readonly id: string }
  | { readonly type: "registertriggertype"; readonly id: string }
  | {
      readonly type: "registertrigger";
      readonly id: string;
      readonly triggerType: string;
      readonly functionId: string;
      readonly config: unknown;
      readonly metadata: unknown;
    }
  | { readonly type: "unregistertrigger"; readonly id: string }
  | {
      readonly type: "invokefunction";
      /** Absent: the caller expects no result. */
      readonly invocationId: string | undefined;
      readonly functionId: string;
      /** JSON text; undefined: nested too deeply. */
      readonly payload: string | undefined;
      /** JSON text. */
      readonly metadata: string | undefined;
      readonly action: string | undefined;
    }
  | {
      readonly type: "invocationresult";
      readonly invocationId: string;
      /** JSON text. */
      readonly result: string | undefined;
      readonly error: FrameError | undefined;
    }
  /** A message that is ignored. */
  | { readonly type: "other" };

/** The error of a failed operation. */
export interface FrameError {
  readonly code: string;
  readonly message: string;
}

type Raw = Readonly<Record<string, unknown>>;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads a frame; undefined when it is invalid. Unknown types and fields are ignored.
 *
 * @param bytes JSON in UTF-8.
 */
export function readSocketFrame(bytes: Uint8Array): SocketFrame | undefined {
  let raw: unknown;
  const shallow = withoutTooDeep(bytes);
  const isDeep = shallow !== bytes;
  try {
    raw = JSON.parse(utf8.decode(shallow));
  } catch {
    return undefined;
  }
  if (!isRecord(raw)) return undefined;
  switch (raw["type"]) {
    case "reattach": {
      const [previousWorkerId, reattachToken] = [raw["previous_worker_id"], raw["reattach_token"]];
      if (!isText(previousWorkerId) || !isText(reattachToken)) return { type: "other" };
      return { type: "reattach", previousWorkerId, reattachToken };
    }
    case "registerfunction":
      return isText(raw["id"])
        ? { type: "registerfunction", id: raw["id"], isHttp: isRecord(raw["invocation"]) }
        : undefined;
    case "unregisterfunction":
    case "registertriggertype":
    case "unregistertrigger":
      return isText(raw["id"]) ? { type: raw["type"], id: raw["id"] } : undefined;
    case "registertrigger":
      return isDeep ? undefined : readTriggerFrame(raw);
    case "invokefunction":
      return readInvokeFrame(raw, isDeep);
    case "invocationresult":
      return readResultFrame(raw, isDeep);
    default:
      return isText(raw["type"]) ? { type: "other" } : undefined;
  }
}

function readTriggerFrame(raw: Raw): SocketFrame | undefined {
  const { id, trigger_type: triggerType, function_id: functionId, config, metadata } = raw;
  if (!isText(id) || !isText(triggerType) || !isText(functionId)) return undefined;
  return { type: "registertrigger", id, triggerType, functionId, config, metadata };
}

function readInvokeFrame(raw: Raw, isDeep: boolean): SocketFrame | undefined {
  const { invocation_id: invocationId, function_id: functionId, data, metadata, action } = raw;
  const isId = invocationId === undefined || invocationId === null || isText(invocationId);
  if (!isId || !isText(functionId)) return undefined;
  return {
    type: "invokefunction",
    invocationId: invocationId ?? undefined,
    functionId,
    payload: isDeep ? undefined : JSON.stringify(data === undefined ? {} : data),
    metadata: metadata === undefined || metadata === null ? undefined : JSON.stringify(metadata),
    action: isRecord(action) && isText(action["type"]) ? action["type"] : undefined,
  };
}

function readResultFrame(raw: Raw, isDeep: boolean): SocketFrame | undefined {
  const { invocation_id: invocationId, result, error } = raw;
  if (!isText(invocationId)) return undefined;
  const text = result === undefined || isDeep ? undefined : JSON.stringify(result);
  const given = error === undefined || error === null ? undefined : frameErrorOf(error);
  return {
    type: "invocationresult",
    invocationId,
    result: text,
    error: isDeep ? TOO_DEEP : given,
  };
}

const TOO_DEEP: FrameError = {
  code: "invocation_failed",
  message: `The function returned too many levels of arrays and objects; it may return up to ${MAX_NESTING}.`,
};

function frameErrorOf(error: unknown): FrameError {
  const { code, message } = isRecord(error) ? error : {};
  return {
    code: isText(code) && code !== "" ? code : "invocation_failed",
    message: isText(message) ? message : JSON.stringify(error),
  };
}

/** Sends a worker its id. */
export function registeredFrame(workerId: string, reattachToken: string): string {
  return JSON.stringify({
    type: "workerregistered",
    worker_id: workerId,
    reattach_token: reattachToken,
  });
}

/**
 * Reports the outcome of registering a trigger or a trigger type.
 *
 * @param functionId Empty for a type: workers in Rust and Python drop a frame without it.
 */
export function triggerResultFrame(
  id: string,
  triggerType: string,
  functionId: string,
  error: FrameError | undefined,
): string {
  return JSON.stringify({
    type: "triggerregistrationresult",
    id,
    trigger_type: triggerType,
    function_id: functionId,
    error,
  });
}

/** Calls a function of the worker. */
export function invokeFrame({
  invocationId,
  functionId,
  payload,
  metadata,
}: Pick<OutgoingCall, "invocationId" | "functionId" | "payload" | "metadata">): string {
  const more = metadata === undefined ? "" : `,"metadata":${metadata}`;
  return (
    `{"type":"invokefunction","invocation_id":${JSON.stringify(invocationId)},` +
    `"function_id":${JSON.stringify(functionId)},"data":${payload}${more}}`
  );
}

/** Responds to a call of the worker. */
export function resultFrame(
  invocationId: string,
  functionId: string,
  outcome: { readonly result: string | undefined } | { readonly error: FrameError },
): string {
  const ids = `"invocation_id":${JSON.stringify(invocationId)},"function_id":${JSON.stringify(functionId)}`;
  if ("error" in outcome)
    return `{"type":"invocationresult",${ids},"error":${JSON.stringify(outcome.error)}}`;
  const result = outcome.result === undefined ? "" : `,"result":${outcome.result}`;
  return `{"type":"invocationresult",${ids}${result}}`;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
