import type { AuthRequest } from "../core/auth.ts";
import type { Item } from "../core/change.ts";
import type { Member, SharedSubscription } from "../live/shared-subscription.ts";
import type { Subscription } from "../live/subscription.ts";
import type { GroupKey } from "../core/names.ts";
import type { SubscriberPresence } from "../core/subscriber-presence.ts";
import type { Value } from "../core/value.ts";
import type { Authenticated, Caller } from "../rights/caller.ts";
import type { Admission, SubscriptionHolder } from "../triggers/admission.ts";
import type {
  BatchRequest,
  BatchResult,
  DeleteRequest,
  DeleteResult,
  GroupRequest,
  HistoryRequest,
  HistoryResult,
  ItemRequest,
  JoinRequest,
  ListAllResult,
  ListGroupsRequest,
  ListGroupsResult,
  ListRequest,
  ListResult,
  PageRequest,
  SendRequest,
  SetRequest,
  SetResult,
  SubscribeRequest,
  UpdateRequest,
  UpdateResult,
} from "./requests.ts";

export type {
  Admission,
  HolderSession,
  SessionJoin,
  SessionTarget,
  SubscriptionHolder,
  SuspendedSubscription,
} from "../triggers/admission.ts";
export type { Admissions } from "../triggers/admissions.ts";
export type { Reader } from "../live/frame-iterator.ts";
export type { Member, SharedFrame, SharedSubscription } from "../live/shared-subscription.ts";

/** A subscription as its reader sees it. */
export type OpenSubscription = Pick<
  Subscription,
  | "read"
  | "onReadable"
  | "onEnd"
  | "ended"
  | "error"
  | "close"
  | "fail"
  | typeof Symbol.asyncIterator
>;

/**
 * The handlers that every protocol calls.
 *
 * They contain all rules, those about the rights of callers included: protocols only find out the
 * caller, decode, call and encode. Calls of one group take effect in the order in which they were
 * made. Every failure is a StreamError: for a caller without the right, PERMISSION_DENIED.
 */
export interface Handlers {
  /** Stores a value. */
  set(request: SetRequest, caller: Caller): Promise<SetResult>;
  /** Reads an item; undefined when there is none. Sees every write acknowledged before (G10). */
  get(request: ItemRequest, caller: Caller): Promise<Item | undefined>;
  /** Changes a value by steps. A failed step is part of the result, not a failure. */
  update(request: UpdateRequest, caller: Caller): Promise<UpdateResult>;
  /** Removes an item. */
  delete(request: DeleteRequest, caller: Caller): Promise<DeleteResult>;
  /** Applies all changes or none (G1). */
  batch(request: BatchRequest, caller: Caller): Promise<BatchResult>;
  /** Announces a transient event. */
  send(request: SendRequest, caller: Caller): Promise<void>;
  /** A page of items in creation order, or from the newest. */
  list(request: ListRequest, caller: Caller): Promise<ListResult>;
  /** A page of the changes of a group, or of one item, as far as the log still has them. */
  history(request: HistoryRequest, caller: Caller): Promise<HistoryResult>;
  /** A page of the groups of a stream, sorted by UTF-8 bytes. */
  listGroups(request: ListGroupsRequest, caller: Caller): Promise<ListGroupsResult>;
  /** A page of all (stream, group) pairs, sorted by UTF-8 bytes. */
  listAll(request: PageRequest, caller: Caller): Promise<ListAllResult>;
  /** Whether a caller sees the authors of changes, events and items of a stream. */
  seesAuthors(caller: Caller, streamName: string): boolean;
  /**
   * Authenticates a caller with `auth_function`, once per socket or call.
   *
   * @throws StreamError AUTH_REFUSED
   */
  authenticate(request: AuthRequest): Promise<Authenticated>;
  /**
   * Asks the join gates about a subscription that will be a member of a shared one. The caller has
   * to `leave` the admission once, however the subscription ends. (`subscribe` does both by
   * itself.)
   *
   * @throws StreamError JOIN_REFUSED
   */
  admit(request: JoinRequest, subscriber: SubscriptionHolder): Promise<Admission>;
  /**
   * Requires that a caller may be present in a group. Whether it may follow the group is another
   * question.
   *
   * @throws StreamError ACTION_DENIED, AUTH_EXPIRED. REQUEST_INVALID when the stream has no presence.
   */
  requirePresence(group: GroupKey, caller: Caller): void;
  /**
   * Shows the connection of a caller in the presence of a group, on behalf of an admitted
   * subscription. Resolves when that is stored.
   *
   * @throws StreamError As `requirePresence`; and when the store failed.
   */
  announce(group: GroupKey, data: Value, caller: Caller): Promise<SubscriberPresence>;
  /**
   * One subscription to a group that several members share: for sockets with overlapping
   * subscriptions. Nothing happens before the first join. Each member has to be admitted before it
   * joins. The caller closes it.
   */
  share<M extends Member>(request: GroupRequest): SharedSubscription<M>;
  /**
   * Follows a group or an item, once the caller is admitted. Resolves when the first frame is
   * available. The caller closes it.
   * It ends with AUTH_EXPIRED when the credentials of the caller expire.
   */
  subscribe(request: SubscribeRequest, caller: Caller): Promise<OpenSubscription>;
}
