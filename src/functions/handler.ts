import { FunctionError } from "../core/function-call.ts";
import type { Provider } from "./provider.ts";

/** What a handler learns of its call besides the payload. */
export interface CallContext {
  readonly functionId: string;
  /** Metadata of the trigger that calls; undefined when it has none, or no trigger calls. */
  // oxlint-disable-next-line typescript/no-explicit-any -- as with payloads
  readonly metadata: any;
  /** Aborted when nobody waits for the answer any more: the deadline passed, or the function was unregistered. */
  readonly signal: AbortSignal;
  /** Most time that the call may take, in milliseconds. */
  readonly timeoutMs: number;
}

/**
 * A function of this process. What it returns is its result, as JSON; nothing is no result. What it
 * throws fails the call.
 */
// oxlint-disable-next-line typescript/no-explicit-any -- what a payload holds is between caller and handler
export type Handler = (payload: any, context: CallContext) => unknown;

const AsyncFunction = (async () => {}).constructor;

/** Has a handler answer calls. It gets its own copy of each payload. */
export function handlerProvider(handler: Handler): Provider {
  // One that has ever returned a promise may go on after it has returned.
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
        // Made only for those who look at it.
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
      `The function ${functionId} returned what is not JSON; it may return any JSON value, or nothing.`,
      { cause },
    );
  }
  throw new FunctionError(
    "invocation_failed",
    `The function ${functionId} returned a ${typeof result}; it may return any JSON value, or nothing.`,
  );
}
