import { type GroupKey, groupKeyText } from "../core/names.ts";
import type { GateCaller } from "../triggers/payloads.ts";

/**
 * Keeps the writes of one caller to one group in the order of their calls while some of them
 * wait for gates, which answer in any order.
 */
export class Turns {
  /** Resolves when the latest write of a connection and group has started, or was refused. */
  readonly #last = new Map<string, Promise<void>>();

  /** Whether a write has to wait for an earlier one. */
  isBehind(caller: GateCaller, group: GroupKey): boolean {
    return this.#last.size > 0 && this.#last.has(keyOf(caller, group));
  }

  /**
   * Starts a write once it is admitted and those before it have started.
   *
   * @param start Hands the write to the store.
   */
  async take<W, R>(
    caller: GateCaller,
    group: GroupKey,
    admitted: Promise<W>,
    start: (write: W) => Promise<R>,
  ): Promise<R> {
    const key = keyOf(caller, group);
    const before = this.#last.get(key);
    // Its refusal is only of interest in its turn.
    admitted.catch(() => {});
    const turn = Promise.resolve(before)
      .then(() => admitted)
      .then((write) => ({ running: start(write) }));
    const last = turn.then(
      () => {},
      () => {},
    );
    this.#last.set(key, last);
    void last.then(() => {
      if (this.#last.get(key) === last) this.#last.delete(key);
    });
    return (await turn).running;
  }
}

/**
 * Callers that share a connection, behind a proxy, do not wait for one another. A renewal changes
 * the context of a user, whose writes keep their order all the same.
 */
function keyOf({ connection, user, context }: GateCaller, group: GroupKey): string {
  const who = user === undefined ? { context } : { user };
  return JSON.stringify([connection.connectionId, who, groupKeyText(group)]);
}
