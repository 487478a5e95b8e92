import { type Coordinator, DEFAULT_PRESENCE_TIMEOUT_MS } from "../core/coordinator.ts";
import { StreamError } from "../core/errors.ts";
import { checkGroup, checkName } from "../core/names.ts";
import type { Store } from "../core/store.ts";
import { currentCause } from "../functions/cause.ts";
import { DEFAULT_FUNCTION_LIMITS, type FunctionLimits } from "../functions/function-limits.ts";
import { FunctionRegistry } from "../functions/function-registry.ts";
import {
  DEFAULT_SUBSCRIBER_QUEUE_LIMITS,
  type SubscriberQueueLimits,
} from "../live/frame-queue.ts";
import { SnapshotMemory } from "../limits/snapshot-memory.ts";
import { Hub } from "../live/hub.ts";
import { interestIn } from "../live/interest.ts";
import { turnClock } from "./coarse-clock.ts";
import { SharedSubscription } from "../live/shared-subscription.ts";
import { createOutside } from "../stores/custom/outside.ts";
import { customStreams } from "../stores/custom/custom-store.ts";
import { localCoordinator } from "../coordinators/local/local-coordinator.ts";
import type { GateOptions } from "../triggers/gates.ts";
import { DEFAULT_TRIGGER_LIMITS, type TriggerLimits } from "../triggers/partition-dispatcher.ts";
import { builtInFunctions } from "./built-in-functions.ts";
import { checkFlag, checkPosition, checkWindow } from "./checks.ts";
import { createDeadLetterBox } from "./dead-letter-box.ts";
import { createDeadLetters } from "./dead-letters.ts";
import { subscriptionFunctions } from "./subscription-functions.ts";
import { engineFunctions } from "./engine-functions.ts";
import { ExpiringSubscription } from "./expiring-subscription.ts";
import { guarded, shuttingDown } from "./guarded.ts";
import { type Administration, createAdministration } from "./administration.ts";
import { CallSubscriber } from "./call-subscriber.ts";
import { seesAuthors } from "../rights/caller.ts";
import { readRules } from "../rights/rule.ts";
import {
  type RightsDecision,
  NO_CONNECTION,
  type Require,
  createCalls,
  createRequire,
} from "./calls.ts";
import type { Admission, Admissions, Handlers, SubscriptionHolder } from "./handlers.ts";
import type { JoinRequest } from "./requests.ts";
import {
  type Problem,
  type TriggerEngine,
  createTriggerEngine,
} from "../triggers/trigger-engine.ts";
import { type Connections, createConnections } from "../lifetimes/connections.ts";
import { startExpiry } from "../lifetimes/expiry.ts";
import { withPresence } from "../presence/presence-store.ts";
import { type Presences, createPresences } from "../presence/presences.ts";
import { Moments } from "../timers/moments.ts";
import { createPresenceCalls } from "./presence-calls.ts";
import { createReads } from "./reads.ts";
import { exceptReserved } from "./reserved-streams.ts";
import { createWrites } from "./writes.ts";
import { triggerFunctions } from "./trigger-functions.ts";
import { createStateSource } from "./trigger-states.ts";
import type { StreamsOptions } from "../streams/stream-options.ts";
import { Evictor } from "../streams/evictor.ts";
import type { StreamTable } from "../streams/stream-settings.ts";
import { streamsOver } from "../streams/streams-over.ts";

export type { FunctionLimits, GateOptions, Problem, SubscriberQueueLimits, TriggerLimits };

/** Timeouts and limits of the service. Each has a default. */
export interface EngineOptions extends GateOptions {
  /** Settings of streams, by the patterns of their names. Default: none. */
  readonly streams?: StreamsOptions | undefined;
  /**
   * Longest silence of a subscription before it gets a heartbeat, in milliseconds. Default 15,000.
   */
  readonly heartbeatIntervalMs?: number | undefined;
  /**
   * How long a subscriber may make no progress before its subscription ends, in milliseconds.
   * Default 60,000.
   */
  readonly stallTimeoutMs?: number | undefined;
  /**
   * Limits of one subscription's queue beyond the transport's buffers. Default 1 MiB or 1,000
   * frames.
   */
  readonly subscriberQueue?: Partial<SubscriberQueueLimits> | undefined;
  /**
   * Memory of snapshots that subscribers have not read, in all, in bytes; beyond it new
   * subscriptions are refused. Default 256 MiB.
   */
  readonly maxSnapshotBytes?: number | undefined;
  /** Coordinator of the fleet. Default: a fleet of one process. The service closes it. */
  readonly coordinator?: Coordinator | undefined;
  /**
   * How long a session, with what depends on it, outlives the connection of its client, in
   * milliseconds. The same in every process of a fleet. Default 10,000.
   */
  readonly presenceTimeoutMs?: number | undefined;
  /** Limits of function calls. */
  readonly functionLimits?: Partial<FunctionLimits> | undefined;
  /** Limits of triggers. */
  readonly triggerLimits?: Partial<TriggerLimits> | undefined;
  /** Grace period of running functions when the service closes, in milliseconds. Default 3,000. */
  readonly settleTimeoutMs?: number | undefined;
  /** Notified of internal failures, with the cause that callers do not see. */
  readonly onFailure?: ((error: StreamError, call: string) => void) | undefined;
  /** Notified of refusals by gates and failures of triggers, for the operator. */
  readonly onProblem?: ((problem: Problem) => void) | undefined;
  /** Notified of each decision about a caller with limited rights, for debugging. */
  readonly onDecision?: ((decision: RightsDecision) => void) | undefined;
  /**
   * Monotonic clock of heartbeats and timeouts, in milliseconds. Default: time since the process
   * started.
   */
  readonly now?: (() => number) | undefined;
}

/** What the sessions of clients are built on. */
export interface SessionBasis {
  /** The sessions of the fleet. */
  readonly agreed: Coordinator["sessions"];
  readonly admissions: Pick<Admissions, "adopt">;
  /** Their connections, which items can be bound to. */
  readonly connections: Pick<Connections, "open">;
  /** The presence of their clients. */
  readonly presences: Pick<Presences, "resume" | "check">;
  /** How long a session outlives its connection, in milliseconds. */
  readonly timeoutMs: number;
  /** Notified of failures in the background, which are retried. */
  readonly onProblem: (error: unknown) => void;
}

/** The service without its protocols. */
export interface Engine {
  readonly handlers: Handlers;
  /** The decision about rights. */
  readonly require: Require;
  /** For operators: what callers have open. */
  readonly administration: Administration;
  /** Its store. */
  readonly store: Store;
  /** The memory of what subscribers and callers over sockets have not read. */
  readonly memory: SnapshotMemory;
  /** What the sessions of sockets are built on. */
  readonly sessions: SessionBasis;
  readonly functions: FunctionRegistry;
  readonly triggerEngine: TriggerEngine;
  /** Whether close() was called. */
  readonly closing: boolean;
  /** Ends every subscription with UNAVAILABLE / SHUTTING_DOWN and refuses new calls. Idempotent. */
  drain(): void;
  /** Drains, runs the leave triggers, and waits for running functions. Idempotent. */
  settle(): Promise<void>;
  /** Drains, settles, then flushes and closes the store. Idempotent. */
  close(): Promise<void>;
}

/**
 * Creates the service over a store, and takes ownership of the store.
 *
 * @param streams Settings of streams that the store was opened with. Default: `options.streams`, of
 *   which the store gets the history.
 */
export function createEngine(
  given: Store,
  options: EngineOptions = {},
  streams: StreamTable = streamsOver(given, options.streams),
): Engine {
  const heartbeatIntervalMs = options.heartbeatIntervalMs ?? 15_000;
  const now = options.now ?? turnClock(() => performance.now());
  const newId = () => crypto.randomUUID();
  const onFailure = swallowErrors(options.onFailure);
  const coordinator = options.coordinator ?? localCoordinator();
  const functionLimits = { ...DEFAULT_FUNCTION_LIMITS, ...options.functionLimits };
  const functions = new FunctionRegistry({ coordinator, limits: functionLimits });
  // The processes of a fleet share presence, and delete that of a process that is gone.
  const isShared = coordinator.sessions.survive;
  const stored = withPresence(given, isShared, (streamName) => streams.of(streamName).history);
  const store = customStreams(stored, createOutside(functions.call, coordinator.registry));
  const memory = new SnapshotMemory(options.maxSnapshotBytes);
  const hub = new Hub({
    memory,
    store,
    now,
    mayDeliver: () => coordinator.orders.mayDeliver(),
    heartbeatIntervalMs,
    stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
    queueLimits: { ...DEFAULT_SUBSCRIBER_QUEUE_LIMITS, ...options.subscriberQueue },
    // Values stored outside the service may change unnoticed.
    sharesStates: ({ streamName }) => !store.isCustom(streamName),
  });
  // Frequent enough for heartbeats to be late by at most a fifth of their interval.
  const timer = setInterval(
    () => void hub.tick(),
    Math.min(1000, Math.max(10, heartbeatIntervalMs / 5)),
  );
  timer.unref();

  const reads = createReads(store);
  const writes = createWrites(store, {
    firing: (group, itemId) => triggerEngine.firing(group, itemId),
    isCustom: (streamName) => store.isCustom(streamName),
    settingsOf: (streamName) => streams.of(streamName),
    onCreated: (group) => evictor.note(group),
  });
  const evictor = new Evictor({
    store,
    // The service does not delete values of custom streams.
    maxItemsOf: (streamName) =>
      store.isCustom(streamName) ? undefined : streams.of(streamName).maxItems,
    firing: (group, itemId) => triggerEngine.firing(group, itemId),
  });
  if (streams.limitsItems) void evictor.scan();
  const triggerEngine: TriggerEngine = createTriggerEngine({
    ...options,
    coordinator,
    functions,
    outbox: store.outbox,
    states: createStateSource(store),
    limits: { ...DEFAULT_TRIGGER_LIMITS, ...options.triggerLimits },
    writeDeadLetter: createDeadLetters({
      handlers: { ...reads, ...writes },
      newId,
      clock: Date.now,
    }),
    onProblem: swallowErrors(options.onProblem),
    newId,
    now,
    clock: Date.now,
  });
  const expiry = startExpiry({
    store: stored,
    firing: (group, itemId) => triggerEngine.firing(group, itemId),
    onProblem: (error) => onFailure(StreamError.from(error), "expiry"),
  });
  const connections = createConnections({
    store: stored,
    agreed: coordinator.sessions,
    orders: coordinator.orders,
    firing: (group, itemId) => triggerEngine.firing(group, itemId),
    onProblem: (error) => onFailure(StreamError.from(error), "connection"),
  });
  const { gates, admissions } = triggerEngine;
  const require = createRequire(options.onDecision);
  const presenceTimeoutMs = options.presenceTimeoutMs ?? DEFAULT_PRESENCE_TIMEOUT_MS;
  const presences = createPresences({
    store: stored,
    timeoutMs: presenceTimeoutMs,
    clock: Date.now,
    onProblem: (error) => onFailure(StreamError.from(error), "presence"),
  });
  const administration = createAdministration({
    orders: coordinator.orders,
    admissions,
    gates,
    require,
    triggers: triggerEngine,
    deadLetters: createDeadLetterBox({ handlers: { ...reads, ...writes }, call: functions.call }),
    endAll: (error) => hub.endAll(error),
  });

  let closed: Promise<void> | undefined;
  let closing = false;
  const drain = () => {
    closing = true;
    clearInterval(timer);
    hub.close(shuttingDown());
  };
  let settled: Promise<void> | undefined;
  const settle = () => {
    drain();
    return (settled ??= triggerEngine.close(options.settleTimeoutMs ?? SETTLE_TIMEOUT_MS));
  };
  const close = async () => {
    await settle();
    presences.close();
    await expiry.close();
    await connections.close();
    await evictor.close();
    await coordinator.close();
    await store.close();
  };
  const expiries = new Moments();
  const join = async (
    { streamName, groupId, itemId, subscriptionId, isProvisional }: JoinRequest,
    subscriber: SubscriptionHolder,
  ): Promise<Admission> => {
    const { caller } = subscriber;
    require(caller, "subscribe", { stream: streamName, group: groupId, item: itemId });
    const { user, context, connection = NO_CONNECTION, rights } = caller;
    // Only reads of callers with limited rights ask the join gates.
    const coversReads =
      rights?.allowing("read", { stream: streamName, group: groupId, item: itemId }) !== undefined;
    return admissions.admit(
      { streamName, groupId, itemId, subscriptionId, user, context, connection },
      subscriber,
      { asksGates: caller.kind !== "service", coversReads, isProvisional },
    );
  };
  const handlers: Handlers = {
    ...createCalls({ reads, writes: exceptReserved(writes), store, gates, require }),
    ...createPresenceCalls({ presences, streams, require }),
    seesAuthors: (caller, streamName) => seesAuthors(caller, streams.of(streamName).authors),
    authenticate: (request) =>
      gates.authenticate(request, (allow) => readRules(allow, "its allow")),
    async admit(request, subscriber) {
      const { itemId, subscriptionId, isProvisional } = request;
      if (itemId !== undefined) checkName("item_id", itemId);
      const { streamName, groupId } = checkGroup(request);
      return join({ streamName, groupId, itemId, subscriptionId, isProvisional }, subscriber);
    },
    share(request) {
      const group = checkGroup(request);
      return new SharedSubscription({
        subscribe: (interest, resumeFrom) => hub.follow({ group, interest, resumeFrom }),
        memory,
        now,
      });
    },
    async subscribe(request, caller) {
      const group = checkGroup(request);
      const itemId =
        request.itemId === undefined ? undefined : checkName("item_id", request.itemId);
      const resumeFrom =
        request.resumeFrom === undefined
          ? undefined
          : checkPosition("resume_from", request.resumeFrom);
      const deltas = checkFlag("deltas", request.deltas);
      const window = checkWindow(request.window, itemId);
      const { address } = request;
      const subscriber = new CallSubscriber(address, caller);
      const admission = await join({ ...group, itemId, subscriptionId: newId() }, subscriber);
      try {
        const interest = interestIn(itemId, { deltas, window });
        const subscription = await hub.follow({ group, interest, resumeFrom, address });
        subscription.onEnd(() => admission.leave());
        subscriber.attach(subscription);
        const ended = admission.ended ?? subscriber.ended;
        if (ended !== undefined) {
          subscription.fail(ended);
          throw ended;
        }
        const { expiresAtMs } = caller;
        if (expiresAtMs === undefined) return subscription;
        return new ExpiringSubscription(subscription, expiresAtMs, expiries);
      } catch (error) {
        admission.leave();
        throw error;
      }
    },
  };
  // While draining, calls made by running functions (a leave handler, say) are still served.
  const isClosing = () => closing && currentCause().depth === 0;
  const open = guarded(handlers, isClosing, onFailure);
  for (const [id, provider] of builtInFunctions(open, functionLimits.maxBuiltInResultBytes))
    functions.addBuiltIn(id, provider);
  for (const [id, provider] of subscriptionFunctions(administration))
    functions.addBuiltIn(id, provider);
  for (const [id, provider] of triggerFunctions(administration.triggers))
    functions.addBuiltIn(id, provider);
  for (const [id, provider] of engineFunctions({ functions, registry: coordinator.registry }))
    functions.addBuiltIn(id, provider);
  return {
    handlers: open,
    require,
    administration,
    store,
    memory,
    sessions: {
      agreed: coordinator.sessions,
      admissions,
      connections,
      presences,
      timeoutMs: presenceTimeoutMs,
      onProblem: (error) => onFailure(StreamError.from(error), "session"),
    },
    functions,
    triggerEngine,
    get closing() {
      return closing;
    },
    drain,
    settle,
    close: () => (closed ??= close()),
  };
}

const SETTLE_TIMEOUT_MS = 3000;

/** Isolates the service from errors of an observer. */
function swallowErrors<Args extends unknown[]>(
  listener: ((...args: Args) => void) | undefined,
): (...args: Args) => void {
  return (...args) => {
    try {
      listener?.(...args);
    } catch {
      // An error of the observer itself: there is no further observer to notify.
    }
  };
}
