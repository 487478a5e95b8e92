import { type BoundTrigger, isLasting, triggerIdentity } from "../../core/trigger.ts";

/** A process of the fleet. It gets a new id each time it joins. */
export interface FleetMember {
  /** Version of its join; 0: restored from a lost log. */
  readonly since: number;
  /** Ids of the functions that it provides. */
  readonly functions: ReadonlySet<string>;
  /** Whether it asks for partitions. */
  readonly contends: boolean;
  /** Whether it carries out orders. Members of older versions do not. */
  readonly obeys: boolean;
}

/** An order that its issuer waits for. */
export interface FleetOrder {
  /** The member that issued it. */
  readonly issuer: string;
  readonly text: string;
}

/** A trigger in force, and the members that registered it. */
export interface FleetTrigger {
  readonly bound: BoundTrigger;
  readonly identity: string;
  /** Members that registered it. */
  readonly holders: ReadonlySet<string>;
  /** When it ends unless a member binds it again, by the clock of Redis; undefined: never. */
  readonly lostUntilMs: number | undefined;
}

/** The owner of a partition. */
export interface PartitionOwner {
  readonly member: string;
  /** Unique for each taking; begins with a growing number. */
  readonly fence: string;
}

/** The agreed state of a fleet. Never changed in place. */
export interface FleetState {
  readonly members: ReadonlyMap<string, FleetMember>;
  /** Functions of custom streams, including those without a provider. */
  readonly overrides: ReadonlySet<string>;
  /** By id, oldest first. */
  readonly triggers: ReadonlyMap<string, FleetTrigger>;
  /** Identity of a trigger -> its id. */
  readonly identities: ReadonlyMap<string, string>;
  readonly owners: ReadonlyMap<number, PartitionOwner>;
  /** Lineages of lost logs -> the version up to which their state was restored. */
  readonly origins: ReadonlyMap<string, number>;
  /** Orders that are being carried out, by id, in the agreed order. */
  readonly orders: ReadonlyMap<string, FleetOrder>;
}

/** A state as JSON. */
export interface FleetStateJson {
  readonly members: readonly {
    readonly id: string;
    readonly since: number;
    readonly functions: readonly string[];
    readonly contends: boolean;
    /** Absent in states that older versions wrote, as are the orders. */
    readonly obeys?: boolean;
  }[];
  readonly overrides: readonly string[];
  readonly triggers: readonly {
    readonly bound: BoundTrigger;
    readonly holders: readonly string[];
    readonly lostUntilMs?: number | undefined;
  }[];
  readonly owners: readonly (readonly [number, PartitionOwner])[];
  readonly origins: readonly (readonly [string, number])[];
  readonly orders?: readonly (readonly [string, FleetOrder])[];
}

/** The initial state. */
export const EMPTY_STATE: FleetState = {
  members: new Map(),
  overrides: new Set(),
  triggers: new Map(),
  identities: new Map(),
  owners: new Map(),
  origins: new Map(),
  orders: new Map(),
};

/** Writes a state as JSON. */
export function writeState(state: FleetState): FleetStateJson {
  return {
    members: Array.from(state.members, ([id, { since, functions, contends, obeys }]) => ({
      id,
      since,
      functions: Array.from(functions),
      contends,
      obeys,
    })),
    overrides: Array.from(state.overrides),
    triggers: Array.from(state.triggers.values(), ({ bound, holders, lostUntilMs }) => ({
      bound,
      holders: Array.from(holders),
      lostUntilMs,
    })),
    owners: Array.from(state.owners),
    origins: Array.from(state.origins),
    orders: Array.from(state.orders),
  };
}

/** Reads what `writeState` wrote. */
export function readState(json: FleetStateJson): FleetState {
  const triggers = json.triggers.map(({ bound, holders, lostUntilMs }): FleetTrigger => {
    const identity = triggerIdentity(bound.definition);
    // Versions without durable triggers set a time for them.
    const untilMs = isLasting(bound.definition) ? undefined : lostUntilMs;
    return { bound, identity, holders: new Set(holders), lostUntilMs: untilMs };
  });
  return {
    members: new Map(
      json.members.map(({ id, since, functions, contends, obeys = false }) => [
        id,
        { since, functions: new Set(functions), contends, obeys },
      ]),
    ),
    overrides: new Set(json.overrides),
    triggers: new Map(triggers.map((trigger) => [trigger.bound.id, trigger])),
    identities: new Map(triggers.map(({ bound, identity }) => [identity, bound.id])),
    owners: new Map(json.owners),
    origins: new Map(json.origins),
    orders: new Map(json.orders),
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

/** A copy-on-write draft of a state: each part is copied before its first change. */
export interface FleetDraft {
  /** The state with the changes so far. Unchanged parts are shared with the original. */
  readonly now: FleetState;
  members(): Map<string, FleetMember>;
  overrides(): Set<string>;
  triggers(): Map<string, FleetTrigger>;
  identities(): Map<string, string>;
  owners(): Map<number, PartitionOwner>;
  origins(): Map<string, number>;
  orders(): Map<string, FleetOrder>;
}

/** Starts a draft. The given state itself is never changed. */
export function draftOf(state: FleetState): FleetDraft {
  let now = state;
  const part = <K extends keyof FleetState, T extends FleetState[K]>(
    key: K,
    copy: (before: FleetState[K]) => T,
  ) => {
    let own: T | undefined;
    return () => {
      if (own === undefined) {
        own = copy(state[key]);
        now = { ...now, [key]: own };
      }
      return own;
    };
  };
  return {
    get now() {
      return now;
    },
    members: part("members", (before) => new Map(before)),
    overrides: part("overrides", (before) => new Set(before)),
    triggers: part("triggers", (before) => new Map(before)),
    identities: part("identities", (before) => new Map(before)),
    owners: part("owners", (before) => new Map(before)),
    origins: part("origins", (before) => new Map(before)),
    orders: part("orders", (before) => new Map(before)),
  };
}
