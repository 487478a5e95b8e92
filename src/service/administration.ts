import type { Orders } from "../core/coordinator.ts";
import { StreamError } from "../core/errors.ts";
import type { Position } from "../core/position.ts";
import { utf8Length } from "../core/text.ts";
import type { Admitted } from "../triggers/admission.ts";
import type { Admissions } from "../triggers/admissions.ts";
import type { Gates } from "../triggers/gates.ts";
import type { Require } from "./calls.ts";
import { checkPageSize, requestInvalid } from "./checks.ts";
import { countOnce, sharedIdsOf } from "./session-counts.ts";
import { readPageToken, writePageToken } from "../core/page-token.ts";
import { withdrawUnlessAllowed } from "./presence-calls.ts";
import type { DeadLetterBox } from "./dead-letter-box.ts";
import {
  type OrderedTriggers,
  type TriggerAdministration,
  type TriggerOrder,
  carryOutTriggerOrder,
  createTriggerAdministration,
} from "./trigger-administration.ts";
import type { PageRequest } from "./requests.ts";
import { type SubscriptionFilter, checkFilter, matcherOf } from "./subscription-filter.ts";

/** An open subscription, at any process of the fleet. */
export interface OpenSubscriptionInfo {
  readonly subscriptionId: string;
  readonly connectionId: string;
  /** Id of the user; undefined: the caller is not a user. */
  readonly user?: string | undefined;
  readonly streamName: string;
  readonly groupId: string;
  /** Undefined: it follows the whole group. */
  readonly itemId?: string | undefined;
  /** Address of the client, as its limits count it; empty: a program in the service's process. */
  readonly address: string;
  /** How it is connected. */
  readonly door: "rpc" | "socket" | "library";
  /** When it asked for admission, Unix milliseconds. */
  readonly sinceMs: number;
  /** Everything up to here was handed to its transport; undefined: nothing yet. */
  readonly position?: Position | undefined;
}

/** A connection with open subscriptions. */
export interface OpenConnectionInfo extends Pick<
  OpenSubscriptionInfo,
  "connectionId" | "user" | "address" | "door"
> {
  /** When the oldest of its subscriptions asked for admission, Unix milliseconds. */
  readonly sinceMs: number;
  /** Number of its subscriptions. */
  readonly subscriptions: number;
}

/** For operators: what callers have open, over the whole fleet. */
export interface Administration {
  /** A page of the connections that have open subscriptions, sorted by id. */
  listConnections(request: ListOpenRequest): Promise<OpenPage<OpenConnectionInfo>>;
  /** A page of the open subscriptions, sorted by the ids of connection and subscription. */
  listSubscriptions(request: ListOpenRequest): Promise<OpenPage<OpenSubscriptionInfo>>;
  /**
   * Ends subscriptions, also those that are about to open. When it resolves, nothing committed later
   * reaches any of them, at any process of the fleet (G11).
   *
   * @throws StreamError REQUEST_INVALID for a filter without a field. STORE_UNAVAILABLE,
   *   OUTCOME_UNKNOWN when not every process is known to have ended its share: try again.
   */
  endSubscriptions(request: EndRequest): Promise<{ readonly ended: number }>;
  /**
   * Asks rules and join gates anew, with the latest claims of the callers, and ends the
   * subscriptions that are no longer allowed, with the same promise.
   *
   * @throws StreamError As endSubscriptions.
   */
  recheckSubscriptions(
    request: FilterRequest,
  ): Promise<{ readonly kept: number; readonly ended: number }>;
  /** The triggers and their dead letters. */
  readonly triggers: TriggerAdministration & DeadLetterBox;
}

/** What to list. */
export interface ListOpenRequest extends PageRequest {
  /** Absent: everything. */
  readonly filter?: SubscriptionFilter | undefined;
}

/** What to act on. */
export interface FilterRequest {
  /** At least one field. */
  readonly filter?: SubscriptionFilter | undefined;
}

/** What to end. */
export interface EndRequest extends FilterRequest {
  /** Sentence for the subscribers, at most 1,000 bytes. Absent or empty: a general one. */
  readonly reason?: string | undefined;
}

/** A page of a listing. */
export interface OpenPage<T> {
  readonly entries: readonly T[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** Dependencies of the administration. */
export interface AdministrationOptions {
  readonly orders: Orders;
  readonly admissions: Pick<
    Admissions,
    "open" | "joining" | "suspended" | "endAdopted" | "whenDecided"
  >;
  readonly gates: Pick<Gates, "recheck" | "forgetReads">;
  readonly require: Require;
  readonly triggers: OrderedTriggers;
  readonly deadLetters: DeadLetterBox;
  /** Ends every subscription of this process. */
  readonly endAll: (error: StreamError) => void;
}

/** An order to every process of the fleet. */
type Order =
  | TriggerOrder
  | { readonly kind: "end"; readonly filter: SubscriptionFilter; readonly reason: string }
  | { readonly kind: "recheck"; readonly filter: SubscriptionFilter }
  | {
      readonly kind: "subscriptions" | "connections";
      readonly filter: SubscriptionFilter;
      readonly after: readonly string[];
      readonly limit: number;
    };

/** What one process has ended. */
interface EndResult {
  readonly ended: number;
  /** Ids of those of sessions. @see SharedCount */
  readonly shared?: readonly string[];
}

/** What one process has rechecked. */
interface RecheckResult extends EndResult {
  readonly kept: number;
  /** Ids of those of sessions that it has kept. */
  readonly sharedKept?: readonly string[];
}

/** Most bytes of a reason. */
const MAX_REASON_BYTES = 1000;
/** How many subscriptions are rechecked at once. */
const RECHECKS_AT_ONCE = 500;
/** How long a recheck may ask gates; then it ends what is left, in milliseconds. */
const RECHECK_MS = 30_000;
const GENERAL_REASON = "The subscription was ended by the service's operator.";

/** Creates the administration, and carries out the orders of the fleet at this process. */
export function createAdministration(options: AdministrationOptions): Administration {
  const { orders, admissions } = options;
  orders.serve(async (text) => JSON.stringify(await carryOut(options, JSON.parse(text) as Order)));
  orders.onLapse(() => {
    const error = new StreamError(
      "STORE_UNAVAILABLE",
      "The process lost touch with its fleet; subscribe again in a moment, and resume.",
    );
    // First what delivers: the rest is only about who learns the reason.
    options.endAll(error);
    for (const each of [...admissions.joining(), ...admissions.open()]) each.end(error);
  });
  const issue = async <R>(order: Order): Promise<R[]> => {
    const results = await orders.issue(JSON.stringify(order));
    return results.map((result) => JSON.parse(result) as R);
  };

  const list = async <T extends { readonly connectionId: string }>(
    kind: "subscriptions" | "connections",
    { filter = {}, pageSize, pageToken }: ListOpenRequest,
    idsOf: (entry: T) => readonly string[],
  ): Promise<OpenPage<T>> => {
    const limit = checkPageSize(pageSize);
    const asked = checkFilter(filter);
    const listing = [kind, JSON.stringify(asked)];
    const after = readPageToken(pageToken, listing, kind === "connections" ? 1 : 2) ?? [];
    const pages = await issue<T[]>({ kind, filter: asked, after, limit: limit + 1 });
    const sorted = pages.flat().sort((a, b) => compareIds(idsOf(a), idsOf(b)));
    // While a session changes hands, two processes may have the same.
    const found = sorted.filter((each, i) => {
      const before = sorted[i - 1];
      return before === undefined || compareIds(idsOf(before), idsOf(each)) !== 0;
    });
    const entries = found.slice(0, limit);
    const last = entries.at(-1);
    const nextPageToken =
      found.length > limit && last !== undefined ? writePageToken(listing, idsOf(last)) : "";
    return { entries, nextPageToken };
  };

  return {
    triggers: { ...createTriggerAdministration(issue), ...options.deadLetters },
    listConnections: (request) =>
      list("connections", request, ({ connectionId }) => [connectionId]),
    listSubscriptions: (request) =>
      list<OpenSubscriptionInfo>("subscriptions", request, idsOfSubscription),
    async endSubscriptions({ filter = {}, reason = "" }) {
      const asked = checkFilter(filter, 1);
      if (
        typeof reason !== "string" ||
        !reason.isWellFormed() ||
        utf8Length(reason) > MAX_REASON_BYTES
      ) {
        throw requestInvalid(
          "reason",
          `reason is not a sentence; it may be text of up to ${MAX_REASON_BYTES} bytes.`,
        );
      }
      const results = await issue<EndResult>({ kind: "end", filter: asked, reason });
      return { ended: countOnce(results.map(({ ended, shared }) => ({ count: ended, shared }))) };
    },
    async recheckSubscriptions({ filter = {} }) {
      const asked = checkFilter(filter, 1);
      const results = await issue<RecheckResult>({ kind: "recheck", filter: asked });
      const ended = results.map(({ ended: count, shared }) => ({ count, shared }));
      const kept = results.map(({ kept: count, sharedKept: shared }) => ({ count, shared }));
      // What one process has ended is over, whatever another one found.
      const isEnded = new Set(ended.flatMap(({ shared = [] }) => shared));
      return { kept: countOnce(kept, isEnded), ended: countOnce(ended) };
    },
  };
}

function carryOut(options: AdministrationOptions, order: Order): unknown {
  const { admissions, gates } = options;
  if (order.kind === "triggers" || order.kind === "delete-trigger")
    return carryOutTriggerOrder(options.triggers, order);
  const matches = matcherOf(order.filter);
  const isMatch = ({ joined, subscriber }: Admitted) => matches(joined, subscriber.caller.user);
  switch (order.kind) {
    case "end": {
      const error = new StreamError("SUBSCRIPTION_ENDED", order.reason || GENERAL_REASON);
      gates.forgetReads();
      admissions.endAdopted(isMatch, error);
      // A client that is coming back does not continue what was ended meanwhile.
      const all = [...admissions.joining(), ...admissions.open(), ...admissions.suspended()];
      const found = all.filter(isMatch);
      const result: EndResult = { ended: found.length, shared: sharedIdsOf(found) };
      for (const each of found) each.end(error);
      return result;
    }
    case "recheck":
      gates.forgetReads();
      return recheck(options, isMatch);
    case "subscriptions":
      return Array.from(admissions.open())
        .filter(isMatch)
        .map(infoOf)
        .sort((a, b) => compareIds(idsOfSubscription(a), idsOfSubscription(b)))
        .filter((info) => isAfter(idsOfSubscription(info), order.after))
        .slice(0, order.limit);
    case "connections":
      return connectionsOf(Array.from(admissions.open()).filter(isMatch).map(infoOf))
        .sort((a, b) => compareIds([a.connectionId], [b.connectionId]))
        .filter(({ connectionId }) => isAfter([connectionId], order.after))
        .slice(0, order.limit);
  }
}

/** Rechecks the subscriptions of this process that match. */
async function recheck(
  { admissions, gates, require }: AdministrationOptions,
  isMatch: (admitted: Admitted) => boolean,
): Promise<RecheckResult> {
  // What the gates are being asked about may have been decided by what no longer holds.
  await admissions.whenDecided();
  const found = Array.from(admissions.open()).filter(isMatch);
  const ended = new Set<Admitted>();
  const deadlineMs = performance.now() + RECHECK_MS;
  const recheckOne = async (admitted: Admitted) => {
    const { joined, subscriber } = admitted;
    const { caller } = subscriber;
    const { streamName: stream, groupId: group, itemId: item } = joined;
    try {
      require(caller, "subscribe", { stream, group, item });
      withdrawUnlessAllowed(admitted, joined, caller, require);
      if (caller.kind === "service") return;
      if (performance.now() > deadlineMs) throw undecided();
      const { user, context } = caller;
      await gates.recheck({ ...joined, user, context });
    } catch (error) {
      ended.add(admitted);
      admitted.end(endOf(StreamError.from(error)));
    }
  };
  for (let i = 0; i < found.length; i += RECHECKS_AT_ONCE)
    await Promise.all(found.slice(i, i + RECHECKS_AT_ONCE).map(recheckOne));
  const kept = found.filter((each) => !ended.has(each));
  return {
    ...{ kept: kept.length, sharedKept: sharedIdsOf(kept) },
    ...{ ended: ended.size, shared: sharedIdsOf(ended) },
  };
}

/** The error for the subscriber that a recheck ended. */
function endOf(error: StreamError): StreamError {
  if (error.reason === "AUTH_EXPIRED") return error;
  // No gate decided against it.
  if (error.retryable) return undecided();
  return new StreamError("SUBSCRIPTION_ENDED", "The subscription is no longer allowed.");
}

function undecided(): StreamError {
  return new StreamError(
    "STORE_UNAVAILABLE",
    "The subscription could not be checked again; subscribe again in a moment.",
  );
}

function infoOf({ joined, subscriber, sinceMs, position }: Admitted): OpenSubscriptionInfo {
  const { subscriptionId, streamName, groupId, itemId, connection } = joined;
  return {
    subscriptionId,
    connectionId: connection.connectionId,
    user: subscriber.caller.user,
    streamName,
    groupId,
    itemId,
    address: subscriber.address,
    door: subscriber.door,
    sinceMs,
    position,
  };
}

function connectionsOf(infos: readonly OpenSubscriptionInfo[]): OpenConnectionInfo[] {
  const connections = new Map<string, OpenConnectionInfo>();
  for (const { connectionId, user, address, door, sinceMs } of infos) {
    const known = connections.get(connectionId);
    connections.set(connectionId, {
      connectionId,
      user: known?.user ?? user,
      address,
      door,
      sinceMs: Math.min(known?.sinceMs ?? Infinity, sinceMs),
      subscriptions: (known?.subscriptions ?? 0) + 1,
    });
  }
  return Array.from(connections.values());
}

function idsOfSubscription(info: OpenSubscriptionInfo): readonly string[] {
  return [info.connectionId, info.subscriptionId];
}

/** Whether ids come after a cursor; everything comes after none. */
function isAfter(ids: readonly string[], cursor: readonly string[]): boolean {
  return cursor.length === 0 || compareIds(ids, cursor) > 0;
}

function compareIds(a: readonly string[], b: readonly string[]): number {
  for (const [i, id] of a.entries()) {
    const other = b[i] ?? "";
    if (id !== other) return id < other ? -1 : 1;
  }
  return 0;
}
