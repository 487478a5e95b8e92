import { FewMap } from "../core/few-map.ts";
import type { TokenBucket } from "../limits/token-bucket.ts";
import { CLOSE } from "./close-codes.ts";
import type { BridgeLimits } from "./limits.ts";
import type { CallSocket } from "./socket-calls.ts";

/** A join or leave of one subscription id that is under way. */
interface UnderWay {
  readonly done: Promise<void>;
  /** Whether the subscription has ended after it. */
  readonly leaves: boolean;
}

/**
 * The joins and leaves of a socket that are under way: those of one id wait for one another. Beyond
 * the limits, the socket is closed.
 */
export class JoinTurns {
  readonly #underWay = new FewMap<string, UnderWay>();
  readonly #joins: TokenBucket;
  readonly #limits: Pick<BridgeLimits, "maxSubscriptions" | "maxFrameBurst">;
  readonly #socket: Pick<CallSocket, "closeWith">;
  #count = 0;

  /** @param joins Limits the rate of joins. */
  constructor(limits: BridgeLimits, joins: TokenBucket, socket: Pick<CallSocket, "closeWith">) {
    this.#limits = limits;
    this.#joins = joins;
    this.#socket = socket;
  }

  /** Whether one of a subscription id is under way. */
  has(subscriptionId: string): boolean {
    return this.#underWay.has(subscriptionId);
  }

  /**
   * Runs a join.
   *
   * @param joined The subscriptions that are open.
   * @param taken Another id whose subscription it replaces.
   */
  join(
    subscriptionId: string,
    taken: string | undefined,
    joined: Iterable<string>,
    work: () => Promise<void>,
  ): void {
    if (this.#joins.take(performance.now()) > 0)
      return this.#socket.closeWith(CLOSE.TOO_MUCH, "subscriptions come too fast");
    if (this.#countBeside(joined, subscriptionId, taken) >= this.#limits.maxSubscriptions)
      return this.#socket.closeWith(CLOSE.TOO_MUCH, "too many subscriptions");
    this.run(subscriptionId, false, work, taken);
  }

  /**
   * Runs the joins and leaves of one subscription id, and what else concerns it, in the order of the
   * calls.
   *
   * @param leaves Whether the subscription has ended after it; undefined: it changes nothing there.
   * @param taken Another id whose subscription the work replaces.
   */
  run(
    subscriptionId: string,
    leaves: boolean | undefined,
    work: () => Promise<void> | void,
    taken = subscriptionId,
  ): void {
    // Joins proceed only as the client reads: one that does not read must not queue more and more
    // work.
    if (this.#count >= this.#limits.maxFrameBurst)
      return this.#socket.closeWith(CLOSE.TOO_MUCH, "too many joins and leaves under way");
    const leavesAfter = leaves ?? this.#underWay.get(subscriptionId)?.leaves ?? false;
    this.#count++;
    const ids = [taken, subscriptionId];
    const before = Promise.all(ids.map((id) => this.#underWay.get(id)?.done ?? Promise.resolve()));
    const done = before.then(work).finally(() => {
      this.#count--;
      for (const id of ids) if (this.#underWay.get(id)?.done === done) this.#underWay.delete(id);
    });
    this.#underWay.set(taken, { done, leaves: true });
    this.#underWay.set(subscriptionId, { done, leaves: leavesAfter });
  }

  /**
   * How many subscriptions there will be once all joins and leaves under way are done, beside the new
   * one and the one that it replaces.
   */
  #countBeside(joined: Iterable<string>, subscriptionId: string, taken = subscriptionId): number {
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
