import type { FleetState, FleetTrigger, Member, PartitionOwner } from "./fleet-state.ts";

/** A state that is being changed: each part is copied before the first change of it. */
export interface FleetDraft {
  /** As it is by now. Parts that have not changed are those of the state before. */
  readonly now: FleetState;
  members(): Map<string, Member>;
  overrides(): Set<string>;
  triggers(): Map<string, FleetTrigger>;
  identities(): Map<string, string>;
  owners(): Map<number, PartitionOwner>;
  origins(): Map<string, number>;
}

/** Begins a change of a state, which itself stays as it is. */
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
  };
}
