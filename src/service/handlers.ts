import type { AuthRequest } from "../core/auth.ts";
import type { Item } from "../core/change.ts";
import type { Member, SharedSubscription } from "../live/shared-subscription.ts";
import type { Subscription } from "../live/subscription.ts";
import type { Admission } from "../triggers/admissions.ts";
import type {
  BatchRequest,
  BatchResult,
  DeleteRequest,
  DeleteResult,
  GroupRequest,
  ItemRequest,
  JoinRequest,
  ListAllResult,
  ListGroupsResult,
  ListResult,
  PageRequest,
  SendRequest,
  SetRequest,
  SetResult,
  SubscribeRequest,
  UpdateRequest,
  UpdateResult,
} from "./requests.ts";

export type { Admission } from "../triggers/admissions.ts";
export type { Reader } from "../live/frame-iterator.ts";
export type { Member, SharedFrame, SharedSubscription } from "../live/shared-subscription.ts";

/**
 * The handlers that every protocol calls.
 *
 * They contain all rules: protocols only decode, call and encode. Calls of one group take effect in
 * the order in which they were made. Every failure is a StreamError.
 */
export interface Handlers {
  /** Stores a value. */
  set(request: SetRequest): Promise<SetResult>;
  /** Reads an item; undefined when there is none. Sees every write acknowledged before (G10). */
  get(request: ItemRequest): Promise<Item | undefined>;
  /** Changes a value by steps. A failed step is part of the result, not a failure. */
  update(request: UpdateRequest): Promise<UpdateResult>;
  /** Removes an item. */
  delete(request: DeleteRequest): Promise<DeleteResult>;
  /** Applies all changes or none (G1). */
  batch(request: BatchRequest): Promise<BatchResult>;
  /** Announces a transient event. */
  send(request: SendRequest): Promise<void>;
  /** A page of items in creation order. */
  list(request: GroupRequest & PageRequest): Promise<ListResult>;
  /** A page of the groups of a stream, sorted by UTF-8 bytes. */
  listGroups(request: { readonly streamName: string } & PageRequest): Promise<ListGroupsResult>;
  /** A page of all (stream, group) pairs, sorted by UTF-8 bytes. */
  listAll(request: PageRequest): Promise<ListAllResult>;
  /**
   * Authenticates a caller with `auth_function`, once per socket. (`subscribe` does so by itself.)
   *
   * @returns The caller's context, for `admit`.
   * @throws StreamError AUTH_REFUSED
   */
  authenticate(request: AuthRequest): Promise<string>;
  /**
   * Asks the join gates about a subscription that will be a member of a shared one. The caller has
   * to `leave` the admission once, however the subscription ends. (`subscribe` does both by
   * itself.)
   *
   * @throws StreamError JOIN_REFUSED
   */
  admit(request: JoinRequest): Promise<Admission>;
  /**
   * One subscription to a group that several members share: for sockets with overlapping
   * subscriptions. Nothing happens before the first join. Each member has to be admitted before it
   * joins. The caller closes it.
   */
  share<M extends Member>(request: GroupRequest): SharedSubscription<M>;
  /**
   * Follows a group or an item, once the caller is authenticated and admitted. Resolves when the
   * first frame is available. The caller closes it.
   */
  subscribe(request: SubscribeRequest): Promise<Subscription>;
}
