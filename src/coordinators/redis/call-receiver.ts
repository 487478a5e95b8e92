import type { Routing } from "../../core/coordinator.ts";
import { FunctionError } from "../../core/function-call.ts";

/** Runs the calls that other processes request. */
export interface CallReceiver {
  readonly serve: Routing["serve"];
  run(call: CallMessage): void;
  /** Aborts a call: its caller no longer waits. */
  cancel(callId: string): void;
  /** Ids of the calls that are running for a process. */
  runningFor(process: string): readonly string[];
  /** Aborts all calls. */
  close(): void;
}

/** @param send Sends an outcome to the calling process. */
export function createCallReceiver(
  send: (to: string, answer: AnswerMessage) => Promise<unknown>,
): CallReceiver {
  const running = new Map<
    string,
    { readonly from: string; readonly controller: AbortController }
  >();
  let answer: Parameters<Routing["serve"]>[0] = async (functionId) => {
    throw new FunctionError("function_not_found", `The function ${functionId} has no provider.`, {
      isUnserved: true,
    });
  };
  const run = async ({
    id,
    from,
    functionId,
    payload,
    metadata,
    depth,
    timeoutMs,
  }: CallMessage) => {
    if (running.has(id)) return;
    const controller = new AbortController();
    running.set(id, { from, controller });
    const { signal } = controller;
    let outcome: AnswerMessage;
    try {
      const result = await answer(functionId, payload, { timeoutMs, metadata, depth, signal });
      outcome = { kind: "answer", id, result };
    } catch (thrown) {
      const { code, message, isUnserved } = FunctionError.from(thrown);
      outcome = { kind: "answer", id, error: { code, message, isUnserved } };
    }
    running.delete(id);
    // If this is lost, the caller still fails: its channel breaks or its timeout expires.
    if (!signal.aborted) await send(from, outcome).catch(() => {});
  };
  return {
    serve(made) {
      answer = made;
    },
    run: (call) => void run(call),
    cancel(id) {
      running.get(id)?.controller.abort();
    },
    runningFor: (process) =>
      Array.from(running).flatMap(([id, { from }]) => (from === process ? [id] : [])),
    close() {
      for (const { controller } of running.values()) controller.abort();
    },
  };
}

/** A request to another process to call a function. */
export interface CallMessage {
  readonly kind: "call";
  readonly id: string;
  /** The calling process, which gets the result. */
  readonly from: string;
  readonly functionId: string;
  readonly payload: string;
  readonly metadata?: string | undefined;
  readonly depth?: number | undefined;
  readonly timeoutMs: number;
}

/** The outcome of a call. Neither result nor error: the function returned nothing. */
export interface AnswerMessage {
  readonly kind: "answer";
  readonly id: string;
  readonly result?: string | undefined;
  readonly error?:
    | { readonly code: string; readonly message: string; readonly isUnserved: boolean }
    | undefined;
}

/** Cancels a call: its caller no longer waits. */
export interface CancelMessage {
  readonly kind: "cancel";
  readonly id: string;
}

/**
 * Sent by a process that may have missed calls: the ids of all calls that it is running for the
 * receiver.
 */
export interface RunningMessage {
  readonly kind: "running";
  readonly from: string;
  readonly ids: readonly string[];
}

/** A message between processes about a call. */
export type RoutingMessage = CallMessage | AnswerMessage | CancelMessage | RunningMessage;

/** Parses a message; undefined: invalid. */
export function readMessage(bytes: Buffer): RoutingMessage | undefined {
  try {
    const message = JSON.parse(bytes.toString()) as RoutingMessage | null;
    return typeof message?.kind === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}
