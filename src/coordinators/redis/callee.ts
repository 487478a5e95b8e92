import type { Routing } from "../../core/coordinator.ts";
import { FunctionError } from "../../core/function-call.ts";
import type { AnswerMessage, CallMessage } from "./call-message.ts";

/** Makes the calls that other processes ask for. */
export interface Callee {
  readonly serve: Routing["serve"];
  run(call: CallMessage): void;
  /** Tells the handler that nobody waits any more. */
  cancel(callId: string): void;
  /** Ids of the calls that are being made for a process. */
  runningFor(process: string): readonly string[];
  /** Tells all handlers so. */
  close(): void;
}

/** @param send Sends an answer to the process that asked. */
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
    // Who asked hears by other means when the answer is lost: its feed breaks, or its time is over.
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
