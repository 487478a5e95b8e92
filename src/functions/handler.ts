import { FunctionError } from "../core/function-call.ts";
import type { Provider } from "./provider.ts";

/** What a handler receives about its call, besides the payload. */
export interface CallContext {
  readonly functionId: string;
  /**
   * Metadata of the calling trigger; undefined when it has none, or when the caller is not a
   * trigger.
   */
  // oxlint-disable-next-line typescript/no-explicit-any -- as with payloads
  readonly metadata: any;
  /**
   * Aborted when no caller waits for the result any more: the deadline passed, the caller abandoned
   * the call, or the function was unregistered.
   */
  readonly signal: AbortSignal;
  /** Longest duration of the call, in milliseconds. */
  readonly timeoutMs: number;
}

/**
 * A function of this process. Its return value is the result, as JSON; undefined is no result. An
 * error that it throws fails the call.
 */
// oxlint-disable-next-line typescript/no-explicit-any -- caller and handler agree on the payload
export type Handler = (payload: any, context: CallContext) => unknown;

const AsyncFunction = (async () => {}).constructor;

/** A provider that calls a handler, with its own copy of each payload. */
export function handlerProvider(handler: Handler): Provider {
  // A handler that has ever returned a promise may still run after it has returned.
  let isPlain = !(handler instanceof AsyncFunction);
  return {
    get isPlain() {
      return isPlain;
    },
    async invoke(invocation) {
      const { functionId, payload, metadata, timeoutMs } = invocation;
      const context: CallContext = {
        functionId,
        metadata: metadata === undefined ? undefined : (JSON.parse(metadata) as unknown),
        timeoutMs,
        // Created only when the handler reads it.
        get signal() {
          return invocation.signal;
        },
      };
      let result: unknown;
      try {
        const returned = handler(JSON.parse(payload), context);
        if (isPlain && typeof returned === "object" && returned !== null && "then" in returned)
          isPlain = false;
        result = await returned;
      } catch (error) {
        throw FunctionError.ofHandler(error);
      }
      return resultText(functionId, result);
    },
  };
}

/** @throws FunctionError invocation_failed */
function resultText(functionId: string, result: unknown): string | undefined {
  if (result === undefined) return undefined;
  try {
    const text = JSON.stringify(result) as string | undefined;
    if (text !== undefined) return text;
  } catch (cause) {
    throw new FunctionError(
      "invocation_failed",
      `The function ${functionId} returned a value that is not JSON; it may return any JSON value, or nothing.`,
      { cause },
    );
  }
  throw new FunctionError(
    "invocation_failed",
    `The function ${functionId} returned a ${typeof result}; it may return any JSON value, or nothing.`,
  );
}
