import type { FewMap } from "../core/few-map.ts";
import type { Admission } from "../service/handlers.ts";
import { type Timer, startTimer } from "../timers/timers.ts";
import type { Dialect } from "./extensions.ts";
import { type ByUrl, type JoinedFeed, isSameTarget } from "./joined.ts";
import type { Target } from "./target.ts";

/**
 * How long a client has to say hello, and then to join the target of its URL again, before the URL's
 * subscription counts as one of its own, in milliseconds.
 */
const GRACE_MS = 1000;

/**
 * The subscription that the URL of a socket requested. A join of the same target takes its place:
 *
 * - That of a client without a session gets its admission.
 * - That of a session has an admission of its own, by which the session knows it again on the next
 *   socket. So that no join event and no leave come with each socket, listeners are not called for
 *   the URL's subscription before the client has had time to say hello and to join. Clients that send
 *   something else need not wait.
 */
export class UrlJoin {
  /** Undefined once a join has taken its place. */
  #target: ByUrl | undefined;
  #admission: Admission | undefined;
  #timer: Timer | undefined;

  constructor(target: ByUrl) {
    this.#target = target;
  }

  /** The subscription, if it has this target and no join has taken its place. */
  matching(target: Target): ByUrl | undefined {
    return this.#target !== undefined && isSameTarget(this.#target, target)
      ? this.#target
      : undefined;
  }

  /**
   * The subscription, for a join of the same target to replace it. Only one join can claim it; a
   * second one needs an admission of its own.
   */
  claim(url: ByUrl, joined: FewMap<string, JoinedFeed>): JoinedFeed | undefined {
    if (this.#target !== url) return undefined;
    this.#target = undefined;
    const found = joined.get(url.subscriptionId);
    // When it was refused or has ended, another subscription may have its id now.
    return found?.join.byUrl === true ? found : undefined;
  }

  /** The join failed: the subscription continues. */
  restore(url: ByUrl): void {
    this.#target = url;
  }

  /** It was admitted. */
  admitted(admission: Admission, dialect: Dialect): void {
    if (admission.provisional === undefined) return;
    this.#admission = admission;
    if (dialect === "unknown" || dialect === "hello") this.wait();
    else this.#announce();
  }

  /** Its client has sent a frame. */
  onFrame(dialect: Dialect): void {
    if (dialect !== "hello") this.#announce();
    // Its session is being looked up.
    else this.#timer?.cancel();
  }

  /** Its client has a session, and time to join. */
  wait(): void {
    this.#timer?.cancel();
    if (this.#admission === undefined) return;
    this.#timer = startTimer(GRACE_MS, () => this.#announce()).unref();
  }

  /** It is over: a join of the session has taken its place. */
  withdraw(admission: Admission): void {
    this.#timer?.cancel();
    if (admission.provisional === undefined) admission.leave();
    else admission.provisional.withdraw();
  }

  #announce(): void {
    this.#timer?.cancel();
    this.#admission?.provisional?.announce();
    this.#admission = undefined;
  }
}
