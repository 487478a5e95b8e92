import type { Coordinator } from "../core/coordinator.ts";
import type { StreamError } from "../core/errors.ts";
import { checkGroup, checkName } from "../core/names.ts";
import type { Store } from "../core/store.ts";
import { currentCause } from "../functions/cause.ts";
import { DEFAULT_FUNCTION_LIMITS, type FunctionLimits } from "../functions/function-limits.ts";
import { FunctionRegistry } from "../functions/function-registry.ts";
import { DEFAULT_QUEUE_LIMITS, type QueueLimits } from "../live/frame-queue.ts";
import { SnapshotMemory } from "../limits/snapshot-memory.ts";
import { Hub } from "../live/hub.ts";
import { interestIn } from "../live/interest.ts";
import { turnClock } from "../live/turn-clock.ts";
import { SharedSubscription } from "../live/shared-subscription.ts";
import { createOutside } from "../stores/custom/outside.ts";
import { customStreams } from "../stores/custom/custom-store.ts";
import { localCoordinator } from "../coordinators/local/local-coordinator.ts";
import type { GateOptions } from "../triggers/gates.ts";
import { DEFAULT_TRIGGER_LIMITS, type TriggerLimits } from "../triggers/partition-dispatcher.ts";
import { builtInFunctions } from "./builtin.ts";
import { checkPosition } from "./checks.ts";
import { createDeadLetters } from "./dead-letters.ts";
import { engineFunctions } from "./engine-functions.ts";
import { guarded, shuttingDown } from "./guarded.ts";
import type { Handlers } from "./handlers.ts";
import { type Problem, type Reactive, createReactive } from "./reactive.ts";
import { createReads } from "./reads.ts";
import { createWrites } from "./writes.ts";

export type { FunctionLimits, GateOptions, Problem, QueueLimits, TriggerLimits };

/** Times and bounds of the service. Every one has a default. */
export interface EngineOptions extends GateOptions {
  /** Longest silence of a subscription before it gets a heartbeat, in milliseconds. Default 15,000. */
  readonly heartbeatIntervalMs?: number | undefined;
  /** How long a subscriber may take nothing before its subscription ends, in milliseconds. Default 60,000. */
  readonly stallTimeoutMs?: number | undefined;
  /** What one subscription may hold beyond the transport's buffers. Default 1 MiB or 1,000 frames. */
  readonly subscriberQueue?: Partial<QueueLimits> | undefined;
  /** Memory of snapshots that subscribers have not read, in all, in bytes; beyond it new subscriptions are refused. Default 256 MiB. */
  readonly maxSnapshotBytes?: number | undefined;
  /** What functions and triggers share with other processes. Default: there are none. The service closes it. */
  readonly coordinator?: Coordinator | undefined;
  /** Bounds of calls of functions. */
  readonly functionLimits?: Partial<FunctionLimits> | undefined;
  /** Bounds of triggers. */
  readonly triggerLimits?: Partial<TriggerLimits> | undefined;
  /** How long functions may go on when the service closes, in milliseconds. Default 3,000. */
  readonly settleTimeoutMs?: number | undefined;
  /** Told of failures that are the service's own, with the cause that callers are not shown. */
  readonly onFailure?: ((error: StreamError, call: string) => void) | undefined;
  /** Told of what gates refused and triggers failed to do, for the operator. */
  readonly onProblem?: ((problem: Problem) => void) | undefined;
  /** Clock of heartbeats and timeouts, in milliseconds; it never goes back. Default: time since the process began. */
  readonly now?: (() => number) | undefined;
}

/** The service without a door. */
export interface Engine {
  readonly handlers: Handlers;
  /** The port behind it. */
  readonly store: Store;
  readonly functions: FunctionRegistry;
  readonly reactive: Reactive;
  /** Whether close() was called. */
  readonly closing: boolean;
  /** Ends every subscription with UNAVAILABLE / SHUTTING_DOWN and refuses new calls. Idempotent. */
  drain(): void;
  /** Drains, and lets functions finish: leaves are told, calls under way end. Idempotent. */
  settle(): Promise<void>;
  /** Drains, settles, then flushes and closes the store. Idempotent. */
  close(): Promise<void>;
}

/** Builds the service over a store, which it owns from now on. */
export function createEngine(given: Store, options: EngineOptions = {}): Engine {
  const heartbeatIntervalMs = options.heartbeatIntervalMs ?? 15_000;
  const now = options.now ?? turnClock(() => performance.now());
  const newId = () => crypto.randomUUID();
  const coordinator = options.coordinator ?? localCoordinator();
  const functionLimits = { ...DEFAULT_FUNCTION_LIMITS, ...options.functionLimits };
  const functions = new FunctionRegistry({ coordinator, limits: functionLimits });
  const store = customStreams(given, createOutside(functions.call, coordinator.registry));
  const memory = new SnapshotMemory(options.maxSnapshotBytes);
  const hub = new Hub({
    memory,
    store,
    now,
    heartbeatIntervalMs,
    stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
    queueLimits: { ...DEFAULT_QUEUE_LIMITS, ...options.subscriberQueue },
    // What lives outside may change unseen.
    sharesStates: ({ streamName }) => !store.isCustom(streamName),
  });
  // Often enough that a heartbeat comes at most a fifth of its interval late.
  const timer = setInterval(
    () => void hub.tick(),
    Math.min(1000, Math.max(10, heartbeatIntervalMs / 5)),
  );
  timer.unref();

  const reads = createReads(store);
  const writes = createWrites(store, {
    firing: (group, itemId) => reactive.firing(group, itemId),
    isCustom: (streamName) => store.isCustom(streamName),
  });
  const reactive: Reactive = createReactive({
    ...options,
    coordinator,
    functions,
    outbox: store.outbox,
    limits: { ...DEFAULT_TRIGGER_LIMITS, ...options.triggerLimits },
    bury: createDeadLetters({ handlers: { ...reads, ...writes }, newId, clock: Date.now }),
    onProblem: harmless(options.onProblem),
    newId,
  });
  const { gates, admissions } = reactive;

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
    return (settled ??= reactive.close(options.settleTimeoutMs ?? SETTLE_TIMEOUT_MS));
  };
  const close = async () => {
    await settle();
    await coordinator.close();
    await store.close();
  };
  const handlers: Handlers = {
    ...reads,
    ...writes,
    authenticate: (request) => gates.authenticate(request),
    async admit(request) {
      const { itemId, subscriptionId, context, connection } = request;
      if (itemId !== undefined) checkName("item_id", itemId);
      const { streamName, groupId } = checkGroup(request);
      return admissions.admit({ streamName, groupId, itemId, subscriptionId, context, connection });
    },
    share(request) {
      const group = checkGroup(request);
      return new SharedSubscription({
        subscribe: (interest, resumeFrom) => hub.follow({ group, interest, resumeFrom }),
        memory,
        now,
      });
    },
    async subscribe(request) {
      const group = checkGroup(request);
      const itemId =
        request.itemId === undefined ? undefined : checkName("item_id", request.itemId);
      const resumeFrom =
        request.resumeFrom === undefined
          ? undefined
          : checkPosition("resume_from", request.resumeFrom);
      const context = await gates.authenticate(request.auth);
      const connection = { connectionId: request.auth.connection_id };
      const joined = { ...group, itemId, context, connection, subscriptionId: newId() };
      const admission = await admissions.admit(joined);
      try {
        const interest = interestIn(itemId);
        const subscription = await hub.follow({ group, interest, resumeFrom });
        subscription.onEnd(() => admission.leave());
        return subscription;
      } catch (error) {
        admission.leave();
        throw error;
      }
    },
  };
  // What functions do on the way out, as a leave is told say, is still done.
  const isClosing = () => closing && currentCause().depth === 0;
  const open = guarded(handlers, isClosing, harmless(options.onFailure));
  for (const [id, provider] of builtInFunctions(open, functionLimits.maxBuiltInResultBytes))
    functions.addBuiltIn(id, provider);
  for (const [id, provider] of engineFunctions({ functions, registry: coordinator.registry }))
    functions.addBuiltIn(id, provider);
  return {
    handlers: open,
    store,
    functions,
    reactive,
    get closing() {
      return closing;
    },
    drain,
    settle,
    close: () => (closed ??= close()),
  };
}

const SETTLE_TIMEOUT_MS = 3000;

/** Whoever is only told of something must not be able to break what tells them. */
function harmless<Args extends unknown[]>(
  listener: ((...args: Args) => void) | undefined,
): (...args: Args) => void {
  return (...args) => {
    try {
      listener?.(...args);
    } catch {
      // Its own failure; there is nobody else to tell.
    }
  };
}
