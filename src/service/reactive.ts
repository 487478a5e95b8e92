import type { Coordinator } from "../core/coordinator.ts";
import { FunctionError } from "../core/function-call.ts";
import type { GroupKey } from "../core/names.ts";
import type { Firing, Outbox } from "../core/outbox.ts";
import { type BoundTrigger, triggerIdentity } from "../core/trigger.ts";
import { MAX_DEPTH, currentCause, runCaused } from "../functions/cause.ts";
import type { FunctionRegistry } from "../functions/function-registry.ts";
import type { EndOfRegistration, Registration } from "../functions/provider.ts";
import { type Admissions, createAdmissions } from "../triggers/admissions.ts";
import { createBindings } from "../triggers/bindings.ts";
import {
  type TriggerRequest,
  configKeys,
  readTrigger,
  writeTrigger,
} from "../triggers/definition.ts";
import { createDispatcher } from "../triggers/dispatcher.ts";
import { type GateOptions, type Gates, createGates } from "../triggers/gates.ts";
import { createLeaves } from "../triggers/leaves.ts";
import type { DispatchContext, TriggerLimits } from "../triggers/partition-dispatcher.ts";
import { type Tally, type TriggerCounts, newTally } from "../triggers/trigger-counts.ts";
import type { Job, Loss } from "../triggers/trigger-lane.ts";
import { type Timer, startTimer } from "../timers/timers.ts";

/** Something that the operator should know: no caller is told. */
export interface Problem {
  readonly kind:
    | "auth_refused"
    | "join_refused"
    | "trigger_failed"
    | "trigger_dropped"
    | "trigger_odd"
    | "trigger_waits"
    | "internal";
  /** A sentence. */
  readonly message: string;
  /** The function that it is about. */
  readonly functionId: string | undefined;
  readonly error?: unknown;
}

/** A trigger in force, and what has become of its events. */
export interface TriggerStatus extends TriggerRequest {
  /** Since this process began. */
  readonly counts: TriggerCounts;
  /** Events that it has yet to be called with, here. */
  readonly pending: number;
  /** Whether its function has a provider. */
  readonly served: boolean;
}

/** A trigger that this process has registered. */
interface Registered {
  /** How often. */
  count: number;
  /** The last of what is done about it. */
  last: Promise<void>;
}

/** What the reactive half works with. */
export interface ReactiveOptions extends GateOptions {
  readonly coordinator: Coordinator;
  readonly functions: FunctionRegistry;
  readonly outbox: Outbox;
  readonly limits: TriggerLimits;
  /** Writes a dead letter. */
  readonly bury: (trigger: BoundTrigger, job: Job | undefined, loss: Loss) => Promise<void>;
  readonly onProblem: (problem: Problem) => void;
  readonly newId: () => string;
}

/** Triggers and gates: what happens when something happens. */
export interface Reactive {
  readonly gates: Gates;
  readonly admissions: Admissions;
  /** What a change of an item, or an event about it, sets off; undefined: nothing. */
  firing(group: GroupKey, itemId: string | undefined): Firing | undefined;
  /**
   * Puts a trigger in force. Resolves when it holds everywhere.
   *
   * @throws FunctionError trigger_type_not_found, trigger_invalid
   */
  register(request: TriggerRequest): Promise<Registration>;
  /** All triggers in force. */
  status(): TriggerStatus[];
  /**
   * Begins no more calls of `stream` triggers, tells the leaves, and waits for the calls under way, all
   * within a time. What was not called stays in the outbox.
   */
  close(timeoutMs: number): Promise<void>;
}

/** Puts bindings, gates, the dispatcher and leaves together. */
export function createReactive(options: ReactiveOptions): Reactive {
  const { coordinator, functions, outbox, limits, bury, onProblem, newId } = options;
  const bindings = createBindings(coordinator.registry);
  /** Counts of what has no lane: gates, and listeners to joins. */
  const tallies = new Map<string, Tally>();
  /** What this process has registered, by identity. */
  const registrations = new Map<string, Registered>();

  const context: DispatchContext = {
    bindings,
    call: functions.call,
    hasFunction: (id) => functions.has(id),
    limits,
    random: Math.random,
    onError: (error) =>
      onProblem({
        kind: "internal",
        message: "A trigger could not go on.",
        functionId: undefined,
        error,
      }),
    async onLost(trigger, job, loss) {
      const { functionId } = trigger.definition;
      onProblem(problemOf(functionId, loss));
      // It may fire triggers in turn, which goes on counting.
      const cause = { depth: (job?.depth ?? MAX_DEPTH) + 1, overriding: [] };
      try {
        await runCaused(cause, () => bury(trigger, job, loss));
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
  const gates = createGates({
    ...options,
    bindings,
    registry: coordinator.registry,
    call: functions.call,
    onRefused: (gate, why) =>
      onProblem({
        kind: gate === options.authFunction ? "auth_refused" : "join_refused",
        message: `${gate} refused: ${why}.`,
        functionId: gate,
      }),
    onTold(trigger, error) {
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
  const admissions = createAdmissions(gates, leaves, coordinator.leases, newId);
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
    // Counted before anything is awaited: one that ends meanwhile must not take this one with it.
    registered.count++;
    /** What concerns one trigger happens in the order asked. */
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
      ({ id } = await inTurn(() => coordinator.registry.bind(definition)));
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
    // Those who are there already leave one day, too.
    if (type === "stream:leave") await admissions.holdAll();
    if (!functions.has(functionId)) {
      const message = `A ${type} trigger waits for the function ${functionId}, which nobody provides yet.`;
      onProblem({ kind: "trigger_waits", message, functionId });
    }
    let ended: Promise<void> | undefined;
    return { unregister: (how = "withdrawn") => (ended ??= end(how)) };
  };

  return {
    gates,
    admissions,
    firing(group, itemId) {
      const triggers = bindings.match(group, itemId);
      if (triggers.length === 0) return undefined;
      const { depth } = currentCause();
      // Dead letters of what has gone too deep set off nothing more.
      return depth > MAX_DEPTH ? undefined : { triggers, depth };
    },
    register,
    status: () =>
      coordinator.registry.triggers().map((trigger) => {
        const lanes = [...dispatcher.lanesOf(trigger.id), leaves.laneOf(trigger.id)].filter(
          (lane) => lane !== undefined,
        );
        const counts = { ...tallyOf(trigger.id) };
        for (const { tally } of lanes) {
          for (const count of Object.keys(counts) as (keyof Tally)[]) counts[count] += tally[count];
        }
        return {
          ...writeTrigger(trigger.definition),
          counts,
          pending: lanes.reduce((sum, { pending }) => sum + pending, 0),
          served: functions.has(trigger.definition.functionId),
        };
      }),
    async close(timeoutMs) {
      const endMs = performance.now() + timeoutMs;
      const left = () => Math.max(0, endMs - performance.now());
      const dispatched = dispatcher.close();
      const tellLeaves = async () => {
        await admissions.whenHandedOn();
        await leaves.whenTold();
      };
      await within(left(), tellLeaves());
      unwatch();
      await within(left(), Promise.all([leaves.close(), dispatched]));
    },
  };
}

/** Waits for the work, but not for ever. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: Timer | undefined;
  await Promise.race([
    work,
    new Promise((resolve) => (timer = startTimer(ms, () => resolve(undefined)))),
  ]);
  timer?.cancel();
}

function problemOf(functionId: string, { reason, error, attempts }: Loss): Problem {
  if (reason !== "failed") {
    const why =
      reason === "backlog"
        ? "too many events wait for it"
        : "functions and triggers have led to one another too often";
    const message = `An event for ${functionId} was dropped: ${why}.`;
    return { kind: "trigger_dropped", message, functionId };
  }
  const { code, message: text } =
    error ?? new FunctionError("invocation_failed", "no reason given");
  const message = `${functionId} failed after ${attempts} attempts: ${code}: ${text}`;
  return { kind: "trigger_failed", message, functionId, error: error?.cause ?? error };
}
