import type { BoundTrigger } from "../../core/trigger.ts";
import { triggerIdentity } from "../../core/trigger.ts";

/** A process that takes part in the fleet. It has another id each time it joins. */
export interface Member {
  /** Version of its joining; 0: before all that is known. */
  readonly since: number;
  /** Ids of the functions that it provides. */
  readonly functions: ReadonlySet<string>;
  /** Whether it asks for partitions. */
  readonly contends: boolean;
}

/** A trigger in force, and on whose behalf. */
export interface FleetTrigger {
  readonly bound: BoundTrigger;
  readonly identity: string;
  /** Members on whose behalf it is in force. */
  readonly holders: ReadonlySet<string>;
  /** When it ends unless somebody takes it up, by the clock of Redis; undefined: not by itself. */
  readonly lostUntilMs: number | undefined;
}

/** Whose a partition is. */
export interface PartitionOwner {
  readonly member: string;
  /** Another one with each taking; begins with a number that grows. */
  readonly fence: string;
}

/** What the processes of a fleet have agreed on. Never changed in place. */
export interface FleetState {
  readonly members: ReadonlyMap<string, Member>;
  /** Functions of custom streams, those included that have no provider now. */
  readonly overrides: ReadonlySet<string>;
  /** By id, oldest first. */
  readonly triggers: ReadonlyMap<string, FleetTrigger>;
  /** Identity of a trigger -> its id. */
  readonly identities: ReadonlyMap<string, string>;
  readonly owners: ReadonlyMap<number, PartitionOwner>;
  /** Lineages whose knowledge was taken over when their log was lost -> up to which version. */
  readonly origins: ReadonlyMap<string, number>;
}

/** A state as JSON. */
export interface FleetStateJson {
  readonly members: readonly {
    readonly id: string;
    readonly since: number;
    readonly functions: readonly string[];
    readonly contends: boolean;
  }[];
  readonly overrides: readonly string[];
  readonly triggers: readonly {
    readonly bound: BoundTrigger;
    readonly holders: readonly string[];
    readonly lostUntilMs?: number | undefined;
  }[];
  readonly owners: readonly (readonly [number, PartitionOwner])[];
  readonly origins: readonly (readonly [string, number])[];
}

/** What is agreed on before anything is. */
export const EMPTY_STATE: FleetState = {
  members: new Map(),
  overrides: new Set(),
  triggers: new Map(),
  identities: new Map(),
  owners: new Map(),
  origins: new Map(),
};

/** Writes a state as JSON. */
export function writeState(state: FleetState): FleetStateJson {
  return {
    members: Array.from(state.members, ([id, { since, functions, contends }]) => ({
      id,
      since,
      functions: Array.from(functions),
      contends,
    })),
    overrides: Array.from(state.overrides),
    triggers: Array.from(state.triggers.values(), ({ bound, holders, lostUntilMs }) => ({
      bound,
      holders: Array.from(holders),
      lostUntilMs,
    })),
    owners: Array.from(state.owners),
    origins: Array.from(state.origins),
  };
}

/** Reads what `writeState` wrote. */
export function readState(json: FleetStateJson): FleetState {
  const triggers = json.triggers.map(({ bound, holders, lostUntilMs }): FleetTrigger => {
    const identity = triggerIdentity(bound.definition);
    return { bound, identity, holders: new Set(holders), lostUntilMs };
  });
  return {
    members: new Map(
      json.members.map(({ id, since, functions, contends }) => [
        id,
        { since, functions: new Set(functions), contends },
      ]),
    ),
    overrides: new Set(json.overrides),
    triggers: new Map(triggers.map((trigger) => [trigger.bound.id, trigger])),
    identities: new Map(triggers.map(({ bound, identity }) => [identity, bound.id])),
    owners: new Map(json.owners),
    origins: new Map(json.origins),
  };
}

/** Members other than one that provide a function. */
export function providersOf(
  { members }: FleetState,
  functionId: string,
  except?: string,
): readonly string[] {
  const providers: string[] = [];
  for (const [id, { functions }] of members)
    if (id !== except && functions.has(functionId)) providers.push(id);
  return providers;
}
