import { FewMap } from "../core/few-map.ts";
import { type GroupKey, groupKeyText } from "../core/names.ts";
import { RecentMap } from "../core/recent-map.ts";
import type { GateCaller, GroupRead, JoinedSubscription } from "./payloads.ts";

/** How long a gate's consent to a read holds, in milliseconds, counted from the question. */
const READ_ANSWER_MS = 10_000;
/** Most answers that are remembered. A caller with a large context takes the place of several. */
const MAX_ANSWERS = 10_000;
/** Characters of a caller's context for which an answer takes the place of one more. */
const CONTEXT_CHARS_PER_ANSWER = 1024;

/** Consent to a read. */
interface Answer {
  readonly caller: GateCaller;
  /** By the monotonic clock. */
  readonly untilMs: number;
}

/** A question to the gates that is under way. */
interface Asking {
  readonly caller: GateCaller;
  readonly result: Promise<void>;
}

/** The admitted subscriptions of a connection by their groups; a single one stands for itself. */
type Held = JoinedSubscription | FewMap<string, FewMap<JoinedSubscription, true>>;

/**
 * Remembers which callers may read which groups, so that join gates are not asked about each read.
 *
 * The gates are not asked while an open subscription that they admitted covers the read, nor for
 * READ_ANSWER_MS after they allowed it. Consent is that of one caller on one connection: several
 * users may share a connection of a proxy, so user and context must be the same too. Consent to a
 * whole group covers its items, never the other way round. Refusals are not remembered.
 */
export class ReadAdmissions {
  readonly #now: () => number;
  readonly #held = new Map<string, Held>();
  #answers = new RecentMap<string, Answer>(MAX_ANSWERS, weightOf);
  #asking = new Map<string, Asking>();

  /** @param now Monotonic clock, in milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Lets an admitted subscription cover reads until it is released. */
  hold(joined: JoinedSubscription): void {
    const { connectionId } = joined.connection;
    const held = this.#held.get(connectionId);
    if (held === undefined) return void this.#held.set(connectionId, joined);
    if (held instanceof FewMap) return add(held, joined);
    const all = new FewMap<string, FewMap<JoinedSubscription, true>>();
    add(all, held);
    add(all, joined);
    this.#held.set(connectionId, all);
  }

  /** Ends the effect of `hold`. Does nothing for a subscription that is not held. */
  release(joined: JoinedSubscription): void {
    const { connectionId } = joined.connection;
    const held = this.#held.get(connectionId);
    if (held === joined) return void this.#held.delete(connectionId);
    if (!(held instanceof FewMap)) return;
    const key = groupKeyText(joined);
    const ofGroup = held.get(key);
    if (ofGroup?.delete(joined) !== true || ofGroup.size > 0) return;
    held.delete(key);
    if (held.size === 0) this.#held.delete(connectionId);
  }

  /**
   * Forgets all answers. Questions under way are neither shared with later reads nor remembered.
   * Subscriptions that are held still count.
   */
  forget(): void {
    this.#answers = new RecentMap(MAX_ANSWERS, weightOf);
    this.#asking = new Map();
  }

  /**
   * Asks about a read, unless the consent is known.
   *
   * @param ask Asks the gates; rejects when they refuse.
   * @returns Undefined when the read is allowed without a question. Concurrent reads of the same
   *   caller share one.
   */
  admit(read: GroupRead, ask: () => Promise<void>): Promise<void> | undefined {
    if (this.#isHeld(read) || this.#isAnswered(read, undefined)) return undefined;
    if (read.itemId !== undefined && this.#isAnswered(read, read.itemId)) return undefined;
    const key = keyOf(read, read.itemId);
    // Not those of `this` at the end: by then all may have been forgotten.
    const [answers, asking] = [this.#answers, this.#asking];
    const known = asking.get(key);
    if (known !== undefined && isSameCaller(known.caller, read)) return known.result;
    const untilMs = this.#now() + READ_ANSWER_MS;
    const { user, context, connection } = read;
    const caller = { user, context, connection };
    const end = () => {
      if (asking.get(key) === entry) asking.delete(key);
    };
    const entry: Asking = {
      caller,
      result: ask().then(
        () => {
          end();
          answers.set(key, { caller, untilMs });
        },
        (error: unknown) => {
          end();
          throw error;
        },
      ),
    };
    asking.set(key, entry);
    return entry.result;
  }

  #isAnswered(read: GroupRead, itemId: string | undefined): boolean {
    const answer = this.#answers.get(keyOf(read, itemId));
    return (
      answer !== undefined && this.#now() < answer.untilMs && isSameCaller(answer.caller, read)
    );
  }

  #isHeld(read: GroupRead): boolean {
    const held = this.#held.get(read.connection.connectionId);
    if (held === undefined) return false;
    if (!(held instanceof FewMap)) return isSameGroup(held, read) && covers(held, read);
    for (const joined of held.get(groupKeyText(read))?.keys() ?? [])
      if (covers(joined, read)) return true;
    return false;
  }
}

function add(
  held: FewMap<string, FewMap<JoinedSubscription, true>>,
  joined: JoinedSubscription,
): void {
  const key = groupKeyText(joined);
  const ofGroup = held.get(key) ?? new FewMap<JoinedSubscription, true>();
  ofGroup.set(joined, true);
  held.set(key, ofGroup);
}

/** Unambiguous, whatever the names are: the lengths come first. */
function keyOf({ connection, streamName, groupId }: GroupRead, itemId: string | undefined): string {
  const { connectionId } = connection;
  const lengths = `${streamName.length} ${groupId.length} ${itemId?.length ?? -1}`;
  return `${lengths} ${streamName}${groupId}${itemId ?? ""}${connectionId}`;
}

/** Whether a subscription to the same group covers a read. */
function covers(joined: JoinedSubscription, read: GroupRead): boolean {
  return (
    (joined.itemId === undefined || joined.itemId === read.itemId) && isSameCaller(joined, read)
  );
}

function isSameGroup(a: GroupKey, b: GroupKey): boolean {
  return a.streamName === b.streamName && a.groupId === b.groupId;
}

/** For two callers of one connection. */
function isSameCaller(a: GateCaller, b: GateCaller): boolean {
  return a.user === b.user && a.context === b.context;
}

function weightOf({ caller }: Answer): number {
  return 1 + Math.floor(caller.context.length / CONTEXT_CHARS_PER_ANSWER);
}
