import type { Routing } from "../../core/coordinator.ts";
import { FunctionError } from "../../core/function-call.ts";
import type { AnswerMessage, CallMessage } from "./call-message.ts";

/** Runs the calls that other processes request. */
export interface Callee {
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
export function createCallee(
  send: (to: string, answer: AnswerMessage) => Promise<unknown>,
): Callee {
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
