import { FewMap } from "../core/few-map.ts";

/** A join or leave of one subscription id that is under way. */
interface UnderWay {
  readonly done: Promise<void>;
  /** Whether the subscription has ended after it. */
  readonly leaves: boolean;
}

/** The joins and leaves of a socket that are under way: those of one id wait for one another. */
export class JoinTurns {
  readonly #underWay = new FewMap<string, UnderWay>();
  #count = 0;

  /** Number of joins and leaves under way. */
  get count(): number {
    return this.#count;
  }

  /** Whether one of a subscription id is under way. */
  has(subscriptionId: string): boolean {
    return this.#underWay.has(subscriptionId);
  }

  /**
   * Runs the joins and leaves of one subscription id in the order of the calls.
   *
   * @param leaves Whether the subscription has ended after it.
   * @param taken Another id whose subscription the work replaces.
   */
  run(
    subscriptionId: string,
    leaves: boolean,
    work: () => Promise<void> | void,
    taken = subscriptionId,
  ): void {
    this.#count++;
    const ids = [taken, subscriptionId];
    const before = Promise.all(ids.map((id) => this.#underWay.get(id)?.done ?? Promise.resolve()));
    const done = before.then(work).finally(() => {
      this.#count--;
      for (const id of ids) if (this.#underWay.get(id)?.done === done) this.#underWay.delete(id);
    });
    this.#underWay.set(taken, { done, leaves: true });
    this.#underWay.set(subscriptionId, { done, leaves });
  }

  /**
   * How many subscriptions there will be once all joins and leaves under way are done, beside the new
   * one and the one that it replaces.
   */
  countBeside(joined: Iterable<string>, subscriptionId: string, taken = subscriptionId): number {
    const ids = new Set(joined);
    for (const [id, { leaves }] of this.#underWay) {
      if (leaves) ids.delete(id);
      else ids.add(id);
    }
    ids.delete(subscriptionId);
    ids.delete(taken);
    return ids.size;
  }
}
