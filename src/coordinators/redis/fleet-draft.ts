import type { FleetState, FleetTrigger, Member, PartitionOwner } from "./fleet-state.ts";

/** A copy-on-write draft of a state: each part is copied before its first change. */
export interface FleetDraft {
  /** The state with the changes so far. Unchanged parts are shared with the original. */
  readonly now: FleetState;
  members(): Map<string, Member>;
  overrides(): Set<string>;
  triggers(): Map<string, FleetTrigger>;
  identities(): Map<string, string>;
  owners(): Map<number, PartitionOwner>;
  origins(): Map<string, number>;
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
  };
}
