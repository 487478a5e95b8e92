import { FunctionError } from "../core/function-call.ts";
import type { Link, ToService } from "./link.ts";
import { startTimer } from "../timers/timers.ts";

/** A call that waits for its result. */
interface Pending {
  readonly resolve: (result: string | undefined) => void;
  readonly reject: (error: FunctionError) => void;
  /** Undefined once it was sent. */
  unsent: ToService | undefined;
}

/** Calls made by a worker: those sent, and those waiting for a connection. */
export class OwnCalls {
  readonly #pending = new Map<string, Pending>();
  #count = 0;

  /** Makes a call, over the link if there is one. */
  make(
    invoke: Extract<ToService, { case: "invoke" }>["value"],
    timeoutMs: number,
    link: Link | undefined,
  ): Promise<string | undefined> {
    const invocationId = String(++this.#count);
    const message: ToService = { case: "invoke", value: { ...invoke, invocationId } };
    return new Promise((resolve, reject) => {
      const timer = startTimer(timeoutMs, () => {
        this.#pending.delete(invocationId);
        const { functionId = "" } = invoke;
        const sentence = `The function ${functionId} did not return within ${timeoutMs} ms.`;
        reject(new FunctionError("TIMEOUT", sentence));
      });
      this.#pending.set(invocationId, {
        resolve: (result) => (timer.cancel(), resolve(result)),
        reject: (error) => (timer.cancel(), reject(error)),
        unsent: link === undefined ? message : undefined,
      });
      link?.send(message);
    });
  }

  /** Settles a call. */
  settle(invocationId: string, outcome: { readonly result: string | undefined } | FunctionError) {
    const pending = this.#pending.get(invocationId);
    this.#pending.delete(invocationId);
    if (outcome instanceof FunctionError) pending?.reject(outcome);
    else pending?.resolve(outcome.result);
  }

  /** Sends the calls that wait for a connection. */
  sendWaiting(link: Link): void {
    for (const pending of this.#pending.values()) {
      if (pending.unsent === undefined) continue;
      link.send(pending.unsent);
      pending.unsent = undefined;
    }
  }

  /**
   * Fails the calls that were sent on a lost connection.
   *
   * @param all Whether waiting ones fail too.
   */
  fail(sentence: string, all = false): void {
    for (const [id, pending] of this.#pending) {
      if (pending.unsent !== undefined && !all) continue;
      this.#pending.delete(id);
      pending.reject(new FunctionError("invocation_stopped", sentence));
    }
  }
}
