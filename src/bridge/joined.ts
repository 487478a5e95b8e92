import { StreamError } from "../core/errors.ts";
import type { FewMap } from "../core/few-map.ts";
import type { Caller } from "../rights/caller.ts";
import { subscriptionEnded } from "../service/calls.ts";
import type { Admission } from "../service/handlers.ts";
import { withdrawUnlessAllowed } from "../service/presence-calls.ts";
import type { JoinFrame } from "./client-frame.ts";
import type { GroupFeed, Join } from "./group-feed.ts";
import type { SessionOptions } from "./session-options.ts";
import type { Target } from "./target.ts";

/*
 * The subscriptions of a session, open and under way.
 */

/** A subscription and its feed. */
export interface JoinedFeed {
  readonly join: Join;
  readonly feed: GroupFeed;
}

/** An admitted join whose first frame is not there yet. */
export interface Joining extends JoinedFeed {
  /** The URL's subscription, which the join replaces. */
  readonly taken: JoinedFeed | undefined;
  /** Why it was ended meanwhile. */
  ended: StreamError | undefined;
}

/** The subscription that the URL requested. */
export interface ByUrl extends Target {
  readonly subscriptionId: string;
}

/** The subscription of an admitted join. */
export function newJoin(frame: JoinFrame, byUrl: boolean, admission: Admission): Join {
  const { streamName, groupId, itemId, subscriptionId, resume, heartbeat, parts } = frame;
  const { items, window, deltas } = frame;
  const resumes = resume !== undefined;
  const isServed = false;
  // Without a spread: each object made by a spread has a hidden class of its own, which takes
  // memory.
  return {
    streamName,
    groupId,
    itemId,
    subscriptionId,
    resumes,
    heartbeat,
    parts,
    items,
    window,
    deltas,
    byUrl,
    isServed,
    admission,
  };
}

/**
 * Ends an admitted join, if it is that of the admission: it may have taken over that of the URL's
 * subscription. The join is still under way, and cleans up.
 */
export function endJoining(joining: Joining, admission: Admission, error: StreamError): void {
  const { join, feed } = joining;
  if (joining.ended !== undefined || join.admission !== admission) return;
  joining.ended = error;
  feed.leave(join);
}

/** The subscription of an admission. */
export function admittedBy(
  admission: Admission,
  joined: FewMap<string, JoinedFeed>,
): JoinedFeed | undefined {
  for (const each of joined.values()) if (each.join.admission === admission) return each;
  return undefined;
}

/** @throws StreamError ACTION_DENIED, AUTH_EXPIRED when the caller has no right to follow it. */
export function requireRightTo(
  { streamName, groupId, itemId }: Target,
  caller: Caller,
  { require }: Pick<SessionOptions, "require">,
): void {
  require(caller, "subscribe", { stream: streamName, group: groupId, item: itemId });
}

/**
 * The admissions of joins that a caller has lost the right to, each with the error that ends it.
 * Presence that it has no right to is withdrawn.
 */
export function* withoutRight(
  joins: readonly { readonly join: Join }[],
  caller: Caller,
  options: Pick<SessionOptions, "require">,
): Generator<[Admission, StreamError]> {
  for (const { join } of joins) {
    try {
      requireRightTo(join, caller, options);
      withdrawUnlessAllowed(join.admission, join, caller, options.require);
    } catch (error) {
      yield [join.admission, subscriptionEnded(StreamError.from(error).message)];
    }
  }
}

export function isSameTarget(a: Target, b: Target): boolean {
  return a.streamName === b.streamName && a.groupId === b.groupId && a.itemId === b.itemId;
}
