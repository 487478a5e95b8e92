import { type GroupKey, groupKeyText } from "../core/names.ts";
import type { Connected } from "../core/connection.ts";

/**
 * Keeps the writes of one connection to one group in the order of their calls while some of them
 * wait for gates, which answer in any order.
 */
export class Turns {
  /** Resolves when the latest write of a connection and group has started, or was refused. */
  readonly #last = new Map<string, Promise<void>>();

  /** Whether a write has to wait for an earlier one. */
  isBehind(connection: Connected, group: GroupKey): boolean {
    return this.#last.size > 0 && this.#last.has(keyOf(connection, group));
  }

  /**
   * Starts a write once it is admitted and those before it have started.
   *
   * @param start Hands the write to the store.
   */
  async take<W, R>(
    connection: Connected,
    group: GroupKey,
    admitted: Promise<W>,
    start: (write: W) => Promise<R>,
  ): Promise<R> {
    const key = keyOf(connection, group);
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

function keyOf({ connectionId }: Connected, group: GroupKey): string {
  return `${connectionId} ${groupKeyText(group)}`;
}
