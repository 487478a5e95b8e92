import type { Coordinator } from "../core/coordinator.ts";
import { FunctionError } from "../core/function-call.ts";
import type { GroupKey } from "../core/names.ts";
import type { Firing, Outbox } from "../core/outbox.ts";
import { isPresenceStream } from "../core/presence-stream.ts";
import { type BoundTrigger, triggerIdentity } from "../core/trigger.ts";
import { MAX_DEPTH, OUTERMOST, currentCause, runCaused } from "../functions/cause.ts";
import type { FunctionRegistry } from "../functions/function-registry.ts";
import type { EndOfRegistration, Registration } from "../functions/provider.ts";
import { type Admissions, createAdmissions } from "./admissions.ts";
import { createBindings } from "./bindings.ts";
import { type TriggerRequest, configKeys, readTrigger, writeTrigger } from "./definition.ts";
import { createDispatcher } from "./dispatcher.ts";
import { type GateOptions, type Gates, createGates } from "./gates.ts";
import type { StateSource } from "./state-source.ts";
import { createLeaves } from "./leaves.ts";
import { bindTrigger, startOverLost } from "./registering.ts";
import { ReadAdmissions } from "./read-admissions.ts";
import type { DispatchContext, TriggerLimits } from "./partition-dispatcher.ts";
import { type Tally, type TriggerCounts, newTally } from "./trigger-counts.ts";
import type { Job, Loss } from "./job.ts";
import { waitAtMost } from "../timers/timers.ts";

/** A problem for the operator's log. Callers do not see it. */
export interface Problem {
  readonly kind:
    | "auth_refused"
    | "join_refused"
    | "write_refused"
    | "trigger_failed"
    | "trigger_dropped"
    | "trigger_odd"
    | "trigger_waits"
    | "internal";
  /** A sentence. */
  readonly message: string;
  /** The function that it concerns. */
  readonly functionId: string | undefined;
  readonly error?: unknown;
}

/** A trigger in force, and the outcomes of its events. */
export interface TriggerStatus extends TriggerRequest {
  /** Outcomes since this process started. */
  readonly counts: TriggerCounts;
  /** Events of this process that it has yet to be called with. */
  readonly pending: number;
  /** Whether its function has a provider. */
  readonly served: boolean;
}

/** A trigger in force, with its state for operators. */
export interface TriggerReport extends TriggerStatus {
  /** Identifies the trigger: never reused for another one. */
  readonly id: string;
  /** When the oldest of the events that wait at this process happened, Unix milliseconds. */
  readonly oldestMs?: number | undefined;
  /** Of a durable trigger: since when its function has had no provider, Unix milliseconds. */
  readonly awaySinceMs?: number | undefined;
  /** Whether its start is being prepared, or its preparation failed: it waits for a registration. */
  readonly starting: boolean;
}

/** A trigger that this process has registered. */
interface Registered {
  /** Number of registrations. */
  count: number;
  /** The last operation on it. */
  last: Promise<void>;
}

/** Dependencies of triggers and gates. */
export interface ReactiveOptions extends GateOptions {
  readonly coordinator: Coordinator;
  readonly functions: FunctionRegistry;
  readonly outbox: Outbox;
  readonly limits: TriggerLimits;
  /** Writes a dead letter. */
  readonly writeDeadLetter: (
    trigger: BoundTrigger,
    job: Job | undefined,
    loss: Loss,
  ) => Promise<void>;
  readonly states: StateSource;
  readonly onProblem: (problem: Problem) => void;
  readonly newId: () => string;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Wall clock, in Unix milliseconds. */
  readonly clock: () => number;
}

/** Triggers and gates. */
export interface TriggerEngine {
  readonly gates: Gates;
  readonly admissions: Admissions;
  /** The triggers that a change of an item, or an event about it, fires; undefined: none. */
  firing(group: GroupKey, itemId: string | undefined): Firing | undefined;
  /**
   * Puts a trigger in force. Resolves when it is in force at every process.
   *
   * @throws FunctionError trigger_type_not_found, trigger_invalid
   */
  register(request: TriggerRequest): Promise<Registration>;
  /** All triggers in force. */
  status(): TriggerStatus[];
  /** All triggers in force, with the share of this process in what waits for them. */
  report(): Promise<TriggerReport[]>;
  /**
   * Ends the share of this process in a trigger, whatever has registered it here. The trigger ends
   * when every process has done so. An unknown one is ignored.
   */
  remove(id: string): Promise<void>;
  /**
   * Starts no more calls of `stream` triggers, runs the leave triggers, and waits for calls in
   * progress, all within the timeout. Events not yet called with stay in the outbox.
   */
  close(timeoutMs: number): Promise<void>;
}

/** Connects bindings, gates, the dispatcher and leaves. */
export function createTriggerEngine(options: ReactiveOptions): TriggerEngine {
  const { coordinator, functions, outbox, limits, writeDeadLetter, onProblem, newId } = options;
  const bindings = createBindings(coordinator.registry);
  /** Counts of triggers without a queue: gates and join listeners. */
  const tallies = new Map<string, Tally>();
  /** Triggers that this process has registered, by identity. */
  const registrations = new Map<string, Registered>();

  const registering = { registry: coordinator.registry, states: options.states, outbox };

  const context: DispatchContext = {
    bindings,
    call: functions.call,
    hasFunction: (id) => functions.has(id),
    limits,
    random: Math.random,
    clock: options.clock,
    states: options.states,
    startOverLost: (triggers) => startOverLost(registering, triggers),
    onError: (error) =>
      onProblem({
        kind: "internal",
        message: "A trigger could not continue.",
        functionId: undefined,
        error,
      }),
    async onLost(trigger, job, loss) {
      const { functionId } = trigger.definition;
      onProblem(problemOf(functionId, loss));
      // The dead letter may fire triggers in turn: the depth keeps growing.
      const cause = { ...OUTERMOST, depth: (job?.depth ?? MAX_DEPTH) + 1 };
      try {
        await runCaused(cause, () => writeDeadLetter(trigger, job, loss));
      } catch (error) {
        const message = `An event for ${functionId} is lost: its dead letter could not be written.`;
        onProblem({ kind: "internal", message, functionId, error });
      }
    },
  };
  const leaves = createLeaves(context, coordinator.leases);
  const dispatcher = createDispatcher(context, outbox, coordinator.ownership);
  const tallyOf = (id: string): Tally => {
    const known = tallies.get(id) ?? newTally();
    tallies.set(id, known);
    return known;
  };
  const reads = new ReadAdmissions(options.now);
  const gates = createGates({
    ...options,
    bindings,
    reads,
    registry: coordinator.registry,
    call: functions.call,
    onRefused: (kind, gate, why) =>
      onProblem({ kind, message: `${gate} refused: ${why}.`, functionId: gate }),
    onListenerResult(trigger, error) {
      const tally = tallyOf(trigger.id);
      if (error === undefined) tally.fired++;
      else {
        tally.failed++;
        onProblem(
          problemOf(trigger.definition.functionId, { reason: "failed", error, attempts: 1 }),
        );
      }
    },
  });
  const admissions = createAdmissions(gates, reads, leaves, coordinator.leases, newId);
  const unwatch = bindings.watch(() => {
    for (const id of tallies.keys()) if (bindings.get(id) === undefined) tallies.delete(id);
    dispatcher.review();
    leaves.review();
  });

  const register = async (request: TriggerRequest): Promise<Registration> => {
    const { definition, unknownKeys } = readTrigger(request);
    const { type, functionId } = definition;
    if (unknownKeys.length > 0) {
      const message = `The config of a ${type} trigger for ${functionId} has unknown keys (${unknownKeys.join(", ")}), which are ignored; it may have ${configKeys(type).join(", ")}.`;
      onProblem({ kind: "trigger_odd", message, functionId });
    }
    const identity = triggerIdentity(definition);
    const registered = registrations.get(identity) ?? { count: 0, last: Promise.resolve() };
    registrations.set(identity, registered);
    // Counted before the first await: a concurrent unregistration must not end this one too.
    registered.count++;
    /** Runs the operations on one trigger in the order of their calls. */
    const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
      const result = registered.last.then(work);
      registered.last = result.then(
        () => {},
        () => {},
      );
      return result;
    };
    let id: string;
    try {
      ({ id } = await inTurn(() => bindTrigger(registering, definition)));
    } catch (error) {
      registered.count--;
      throw error;
    }
    const end = async (how: EndOfRegistration) => {
      registered.count--;
      await inTurn(async () => {
        if (registered.count > 0) return;
        if (registrations.get(identity) === registered) registrations.delete(identity);
        await coordinator.registry.unbind(id, how === "withdrawn" ? how : "lost");
      });
    };
    // Subscriptions that are already open will leave too.
    if (type === "stream:leave") {
      try {
        await admissions.holdAll();
      } catch (error) {
        // A registrant that tries again re-attaches it.
        await end("lost").catch(context.onError);
        throw error;
      }
    }
    if (!functions.has(functionId)) {
      const message = `A ${type} trigger waits for the function ${functionId}, which has no provider yet.`;
      onProblem({ kind: "trigger_waits", message, functionId });
    }
    let ended: Promise<void> | undefined;
    return { unregister: (how = "withdrawn") => (ended ??= end(how)) };
  };

  const statusOf = (trigger: BoundTrigger): TriggerStatus => {
    const queues = [...dispatcher.queuesOf(trigger.id), leaves.queueOf(trigger.id)].filter(
      (queue) => queue !== undefined,
    );
    const counts = { ...tallyOf(trigger.id) };
    for (const { tally } of queues) {
      for (const count of Object.keys(counts) as (keyof Tally)[]) counts[count] += tally[count];
    }
    return {
      ...writeTrigger(trigger.definition),
      counts,
      pending: queues.reduce((sum, { pending }) => sum + pending, 0),
      served: functions.has(trigger.definition.functionId),
    };
  };

  return {
    gates,
    admissions,
    firing(group, itemId) {
      const triggers = bindings.match(group, itemId);
      if (triggers.length === 0 || isPresenceStream(group.streamName)) return undefined;
      const { depth } = currentCause();
      // Dead letters of chains that are too long fire nothing more.
      return depth > MAX_DEPTH ? undefined : { triggers, depth };
    },
    register,
    status: () => coordinator.registry.triggers().map(statusOf),
    report: () =>
      Promise.all(
        coordinator.registry.triggers().map(async (trigger): Promise<TriggerReport> => {
          const { id, definition, awaySinceMs } = trigger;
          const status = statusOf(trigger);
          return {
            id,
            ...status,
            oldestMs: status.pending === 0 ? undefined : await dispatcher.oldestOf(id),
            awaySinceMs: status.served ? undefined : awaySinceMs,
            starting: definition.isStarting === true,
          };
        }),
      ),
    async remove(id) {
      const trigger = bindings.get(id);
      if (trigger === undefined) return;
      const identity = triggerIdentity(trigger.definition);
      // Its registrations that end later must not affect a trigger that was registered since.
      registrations.delete(identity);
      await coordinator.registry.unbind(id, "withdrawn");
    },
    async close(timeoutMs) {
      const endMs = performance.now() + timeoutMs;
      const left = () => Math.max(0, endMs - performance.now());
      const dispatched = dispatcher.close();
      const runLeaves = async () => {
        await admissions.whenQueued();
        await leaves.whenDelivered();
      };
      await waitAtMost(left(), runLeaves());
      unwatch();
      await waitAtMost(left(), Promise.all([leaves.close(), dispatched]));
    },
  };
}

const DROPPED: Readonly<Record<Exclude<Loss["reason"], "failed">, string>> = {
  backlog: "too many events wait for it",
  depth: "the chain of functions and triggers is too long",
  max_away: "its function had no provider for too long",
};

function problemOf(functionId: string, { reason, error, attempts }: Loss): Problem {
  if (reason !== "failed") {
    const why = DROPPED[reason];
    const message = `An event for ${functionId} was dropped: ${why}.`;
    return { kind: "trigger_dropped", message, functionId };
  }
  const { code, message: text } =
    error ?? new FunctionError("invocation_failed", "no reason given");
  const message = `${functionId} failed after ${attempts} attempts: ${code}: ${text}`;
  return { kind: "trigger_failed", message, functionId, error: error?.cause ?? error };
}
