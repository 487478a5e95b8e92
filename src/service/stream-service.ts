import type { AuthRequest } from "../core/auth.ts";
import type { OpenPage, OpenSubscriptionInfo } from "./administration.ts";
import type { SubscriptionFilter } from "./subscription-filter.ts";
import { newConnectionId } from "./connection-ids.ts";
import { checkGroup } from "../core/names.ts";
import { opsFromJson } from "../core/op-json.ts";
import type { Position } from "../core/position.ts";
import type { Store } from "../core/store.ts";
import { type Json, Value } from "../core/value.ts";
import { type Caller, LOCAL } from "../rights/caller.ts";
import { currentCaller } from "./current-caller.ts";
import { type Handler, handlerProvider } from "../functions/handler.ts";
import { jsonText } from "../functions/json-text.ts";
import type { Registration } from "../functions/provider.ts";
import type { TriggerRequest } from "../triggers/definition.ts";
import { type StreamAdapter, adapterFunctions } from "./stream-adapter.ts";
import type { TriggerStatus } from "../triggers/trigger-engine.ts";
import type { DeadLetterPage, Replayed } from "./dead-letter-box.ts";
import type { DeleteTriggerRequest, TriggerPage } from "./trigger-administration.ts";
import { mutationsFromLibrary, withTtl } from "./library-mutations.ts";
import { type Engine, type EngineOptions, createEngine } from "./engine.ts";
import {
  type BatchResult,
  type ChangePage,
  type DeleteResult,
  type Item,
  type ItemPage,
  type Mutation,
  type MutationResult,
  type PageOptions,
  type SetResult,
  type StreamFrames,
  type TimeToLiveMs,
  type UpdateResult,
  type UpdateStep,
  plainChange,
  plainFrames,
  plainItem,
  plainWrite,
  repetition,
} from "./library-types.ts";
import type {
  Expectations,
  GroupRequest,
  ItemRequest,
  Keyed,
  ListAllResult,
  ListGroupsResult,
} from "./requests.ts";

/** A call of a function. */
export interface CallRequest {
  readonly function_id: string;
  /** Any JSON value. Default `{}`. */
  readonly payload?: unknown;
  /** Passed to the function beside the payload: any JSON value. */
  readonly metadata?: unknown;
  /** Longest duration of the call, in milliseconds. Default 30,000. */
  readonly timeout_ms?: number;
}

/** What to follow: a group, or one item of it. */
export interface SubscribeRequest<Deltas extends boolean = boolean> extends GroupRequest {
  readonly itemId?: string;
  readonly resumeFrom?: Position;
  /**
   * Whether updates may come as their steps in place of their values (`ops`, for `applyOps`):
   * cheaper where items are large and their updates are small. Default false.
   */
  readonly deltas?: Deltas;
  /**
   * Only the newest items come in snapshots, this many: 1 to 10,000. Later changes come all the
   * same, also those of older items. Not with `itemId`. Default: all items.
   */
  readonly window?: number;
  /**
   * The request that `auth_function` receives about the subscriber. Default: empty, with a new
   * `connection_id` for each call. Calls for one client may share one.
   */
  readonly auth?: Partial<AuthRequest>;
}

/**
 * The service as a library: the calls of `millrace.v1.StreamService` on plain JSON, with the same
 * rules and guarantees as over the network. Failures are StreamErrors; those of functions and
 * triggers are FunctionErrors. Writes of a registered function have the author `function:<its id>`,
 * others have none.
 */
export interface StreamService {
  /** Stores a value, replacing that of the item. */
  set(
    request: ItemRequest & Expectations & Keyed & TimeToLiveMs & { readonly data: Json },
  ): Promise<SetResult>;
  /** Reads an item; undefined when there is none. */
  get(request: ItemRequest): Promise<Item | undefined>;
  /**
   * Changes a value in place by steps. Failed steps are reported in `errors`; the others take
   * effect.
   */
  update(
    request: ItemRequest &
      Expectations &
      Keyed &
      TimeToLiveMs & { readonly ops: readonly UpdateStep[] },
  ): Promise<UpdateResult>;
  /** Removes an item. A missing item is a success that changes nothing. */
  delete(request: ItemRequest & Expectations & Keyed): Promise<DeleteResult>;
  /** Applies several writes of one group in one step: all of them or none. */
  batch(
    request: GroupRequest &
      Keyed & {
        readonly mutations: readonly Mutation[];
        readonly expectedEpoch?: string;
        readonly returnValues?: boolean;
      },
  ): Promise<BatchResult>;
  /** Sends a transient event to the subscribers of a group. */
  send(
    request: GroupRequest & {
      readonly type?: string;
      readonly data: Json;
      readonly itemId?: string;
    },
  ): Promise<void>;
  /** A page of the items of a group, in creation order or, `descending`, from the newest. */
  list(request: GroupRequest & PageOptions & { readonly descending?: boolean }): Promise<ItemPage>;
  /**
   * A page of the changes of a group, or of one item, as far as the log still has them. `pageToken`
   * is refused (PAGE_TOKEN_INVALID) when the log was trimmed past it, or the group has a new epoch.
   */
  history(
    request: GroupRequest &
      PageOptions & {
        /** Only changes of this item. */
        readonly itemId?: string;
        /** The first revision to list, inclusive. Absent: the oldest that the log has. */
        readonly fromRevision?: number;
        /** The last revision to list, inclusive. Absent: the newest. */
        readonly toRevision?: number;
        /** Whether to list from the newest change to the oldest. Default false. */
        readonly descending?: boolean;
      },
  ): Promise<ChangePage>;
  /** A page of the groups of a stream, sorted by UTF-8 bytes. */
  listGroups(request: { readonly streamName: string } & PageOptions): Promise<ListGroupsResult>;
  /** A page of all streams and their groups, sorted by UTF-8 bytes. */
  listAll(request?: PageOptions): Promise<ListAllResult>;
  /**
   * Follows a group, or one item of it: `for await (const frame of await service.subscribe(...))`.
   * Leaving the loop, or `return()`, ends the subscription.
   */
  subscribe<Deltas extends boolean = false>(
    request: SubscribeRequest<Deltas>,
  ): Promise<StreamFrames<Deltas>>;
  /**
   * Registers a handler of this program as a function, which triggers, gates and other functions
   * call by its id. Calls rotate among several handlers of one id. Resolves when it can be called.
   *
   * @throws FunctionError FORBIDDEN for a reserved id, deserialization_error for an invalid name.
   */
  registerFunction(id: string, handler: Handler): Promise<Registration>;
  /**
   * Registers a trigger. Equal definitions are the same trigger. Resolves when it is in force: no
   * later write or subscription misses it.
   *
   * @throws FunctionError trigger_type_not_found, trigger_invalid
   */
  registerTrigger(request: TriggerRequest): Promise<Registration>;
  /**
   * Calls a function and waits for its result; undefined when it returned nothing.
   *
   * @throws FunctionError
   */
  trigger(request: CallRequest): Promise<Json | undefined>;
  /**
   * Makes a stream custom: an adapter of this program reads and writes its values, and stores them
   * where it likes. Resolves when the adapter is in use.
   */
  createStream(streamName: string, adapter: StreamAdapter): Promise<Registration>;
  /** A page of the open subscriptions of the whole fleet, sorted by connection and id. */
  subscriptions(
    request?: PageOptions & { readonly filter?: SubscriptionFilter },
  ): Promise<OpenPage<OpenSubscriptionInfo>>;
  /**
   * Ends subscriptions. When it resolves, nothing committed later reaches any of them, at any
   * process of the fleet (G11).
   */
  endSubscriptions(
    filter: SubscriptionFilter,
    reason?: string,
  ): Promise<{ readonly ended: number }>;
  /** Asks rules and join gates anew, and ends the subscriptions that are no longer allowed (G11). */
  recheckSubscriptions(
    filter: SubscriptionFilter,
  ): Promise<{ readonly kept: number; readonly ended: number }>;
  /** All triggers in force, and the outcomes of their events at this process. */
  triggers(): readonly TriggerStatus[];
  /** A page of the triggers of the whole fleet, with what waits for them, sorted by id. */
  listTriggers(request?: PageOptions): Promise<TriggerPage>;
  /**
   * Ends a trigger at every process, whoever registered it: `deleteTrigger({ durable: "audit" })`.
   * The events that wait for it are dropped.
   */
  deleteTrigger(request: DeleteTriggerRequest): Promise<{ readonly deleted: boolean }>;
  /**
   * A page of dead letters, the oldest of a function first. It may be short, or empty, although more
   * follow.
   */
  deadLetters(request?: PageOptions & { readonly functionId?: string }): Promise<DeadLetterPage>;
  /**
   * Calls the function of a dead letter again, with its payload and the metadata of its trigger, and
   * removes the letter when the call succeeds.
   */
  replayDeadLetter(request: {
    readonly functionId: string;
    readonly id: string;
  }): Promise<Replayed>;
  /** Ends subscriptions, flushes and closes the store. Idempotent. */
  close(): Promise<void>;
}

/**
 * Embeds the service in this process, without a port.
 *
 * @param options.store Store of the data, for example `memoryStore()`. The service closes it.
 */
export function createStreamService(
  options: { readonly store: Store } & EngineOptions,
): StreamService {
  return toLibrary(createEngine(options.store, options));
}

/** The library's view of an engine. */
export function toLibrary(engine: Engine): StreamService {
  const { handlers, functions, triggerEngine, administration } = engine;
  return {
    async set(request) {
      return plainWrite(
        await handlers.set({ ...withTtl(request), data: Value.of(request.data) }, currentCaller()),
      );
    },
    async get(request) {
      const item = await handlers.get(request, currentCaller());
      return item === undefined ? undefined : plainItem(item);
    },
    async update(request) {
      const done = await handlers.update(
        { ...withTtl(request), ops: opsFromJson(request.ops) },
        currentCaller(),
      );
      return { ...plainWrite(done), errors: done.errors };
    },
    async delete(request) {
      const done = await handlers.delete(request, currentCaller());
      const { oldValue, position } = done;
      return { oldValue: oldValue?.json(), position, ...repetition(done) };
    },
    async batch({ returnValues = false, mutations, ...request }) {
      const done = await handlers.batch(
        { ...request, returnValues, mutations: mutationsFromLibrary(mutations) },
        currentCaller(),
      );
      const results = done.results.map(({ kind, result }): MutationResult => {
        const newValue = "newValue" in result ? result.newValue?.json() : undefined;
        const errors = "errors" in result ? result.errors : [];
        return {
          kind,
          oldValue: result.oldValue?.json(),
          newValue,
          position: result.position,
          errors,
        };
      });
      return { results, position: done.position, ...repetition(done) };
    },
    async send(request) {
      await handlers.send({ ...request, data: Value.of(request.data) }, currentCaller());
    },
    async list(request) {
      const page = await handlers.list({ ...request, ...pageOf(request) }, currentCaller());
      return { ...page, items: page.items.map(plainItem) };
    },
    async history(request) {
      const page = await handlers.history({ ...request, ...pageOf(request) }, currentCaller());
      return { ...page, changes: page.changes.map(plainChange) };
    },
    async listGroups(request) {
      return handlers.listGroups({ ...request, ...pageOf(request) }, currentCaller());
    },
    async listAll(request = {}) {
      return handlers.listAll(pageOf(request), currentCaller());
    },
    async subscribe<Deltas extends boolean>(request: SubscribeRequest<Deltas>) {
      const connectionId = request.auth?.connection_id ?? newConnectionId();
      const auth: AuthRequest = { ...NO_CALLER, ...request.auth, connection_id: connectionId };
      // Requests that are refused anyway are not worth a call of auth_function.
      checkGroup(request);
      const { user, context, expiresAtMs } = await handlers.authenticate(auth);
      const connection = { connectionId };
      const caller: Caller = { ...LOCAL, user, context, expiresAtMs, connection };
      return plainFrames<Deltas>(await handlers.subscribe(request, caller));
    },
    registerFunction: (id, handler) => functions.register(id, handlerProvider(handler)),
    registerTrigger: (request) => triggerEngine.register(request),
    async trigger({ function_id: id, payload = {}, metadata, timeout_ms: timeoutMs }) {
      const result = await functions.call(id, jsonText("payload", payload), {
        timeoutMs,
        metadata: metadata === undefined ? undefined : jsonText("metadata", metadata),
      });
      return result === undefined ? undefined : (JSON.parse(result) as Json);
    },
    createStream: (streamName, adapter) =>
      adapterFunctions(streamName, adapter, (id, handler) =>
        functions.register(id, handlerProvider(handler)),
      ),
    subscriptions: ({ filter, ...page } = {}) =>
      administration.listSubscriptions({ filter, ...pageOf(page) }),
    endSubscriptions: (filter, reason) => administration.endSubscriptions({ filter, reason }),
    recheckSubscriptions: (filter) => administration.recheckSubscriptions({ filter }),
    triggers: () => triggerEngine.status(),
    listTriggers: (request = {}) => administration.triggers.listTriggers(pageOf(request)),
    deleteTrigger: (request) => administration.triggers.deleteTrigger(request),
    deadLetters: (request = {}) =>
      administration.triggers.listDeadLetters({ ...request, ...pageOf(request) }),
    replayDeadLetter: (request) => administration.triggers.replayDeadLetter(request),
    close: () => engine.close(),
  };
}

const NO_CALLER: Omit<AuthRequest, "connection_id"> = {
  headers: {},
  path: "",
  query_params: {},
  addr: "",
};

function pageOf({ pageSize = 0, pageToken = "" }: PageOptions) {
  return { pageSize, pageToken };
}
