import { type BoundTrigger, type TriggerDefinition, triggerIdentity } from "../../core/trigger.ts";
import { processOf } from "./fleet-keys.ts";
import type { FleetEntry } from "./fleet-log.ts";
import type { FleetState } from "./fleet-state.ts";

/** How a registration ends. */
type How = "withdrawn" | "lost";

interface WishedTrigger {
  /** With the id to use unless one of the same identity is in force already. */
  trigger: BoundTrigger;
  /** The definition that is yet to replace that of the trigger in force. */
  replacing: TriggerDefinition | undefined;
  /** Pending calls of `bind`. */
  pending: number;
  /** Whether a call has succeeded. */
  hasSucceeded: boolean;
}

interface Ending {
  /** Undefined: withdrawn if this process created the trigger, otherwise lost. */
  readonly how: How | undefined;
  /** Id that this process assigned to the trigger. */
  readonly ownId: string | undefined;
}

/**
 * The desired state of this process: registrations to keep in force, and registrations to end. Kept
 * until the fleet has agreed, however often Redis fails or this process has to join anew.
 */
export class DesiredState {
  readonly #functions = new Set<string>();
  /** By identity. */
  readonly #triggers = new Map<string, WishedTrigger>();
  /** By function id. */
  readonly #functionEndings = new Map<string, { readonly how: How }>();
  /** By identity. */
  readonly #triggerEndings = new Map<string, Ending>();
  readonly #reattachMs: number;
  #contends = false;

  constructor(reattachMs: number) {
    this.#reattachMs = reattachMs;
  }

  provide(functionId: string): void {
    this.#functions.add(functionId);
  }

  withdraw(functionId: string, how: How): void {
    this.#functions.delete(functionId);
    // A later loss does not override a withdrawal.
    if (this.#functionEndings.get(functionId)?.how !== "withdrawn")
      this.#functionEndings.set(functionId, { how });
  }

  /** @returns the identity of the trigger. */
  bind(definition: TriggerDefinition): string {
    const identity = triggerIdentity(definition);
    const trigger = { id: crypto.randomUUID(), definition };
    const wished = this.#triggers.get(identity) ?? {
      ...{ trigger, replacing: undefined, pending: 0, hasSucceeded: false },
    };
    this.#triggers.set(identity, wished);
    if (definition.config.durable !== undefined) {
      wished.trigger = { ...wished.trigger, definition };
      wished.replacing = definition;
    }
    wished.pending++;
    return identity;
  }

  /** A call of `bind` has ended. The wish is undone when none has succeeded and none is pending. */
  bindEnded(identity: string, hasSucceeded: boolean): void {
    const wished = this.#triggers.get(identity);
    if (wished === undefined) return;
    wished.pending--;
    wished.hasSucceeded ||= hasSucceeded;
    if (wished.pending > 0 || wished.hasSucceeded) return;
    this.#triggers.delete(identity);
    this.#triggerEndings.set(identity, { how: undefined, ownId: wished.trigger.id });
  }

  unbind(identity: string, how: How): void {
    this.#triggers.delete(identity);
    if (this.#triggerEndings.get(identity)?.how !== "withdrawn")
      this.#triggerEndings.set(identity, { how, ownId: undefined });
  }

  /** Sets whether this process asks for partitions. */
  contend(contends: boolean): void {
    this.#contends = contends;
  }

  /** The entries that bring a state in line with the desired state, membership included. Pure. */
  entries(state: FleetState, member: string): readonly FleetEntry[] {
    const entries: FleetEntry[] = [];
    const reattachMs = this.#reattachMs;
    const known = state.members.get(member);
    // Former members of this process leave; the new one registers everything.
    if (known === undefined) {
      for (const other of state.members.keys())
        if (processOf(other) === processOf(member))
          entries.push({ kind: "leave", member: other, reattachMs });
      entries.push({ kind: "join", member, reattachMs });
    }
    const holds = (id: string) => state.triggers.get(id)?.holders.has(member) === true;
    for (const [functionId, { how }] of this.#functionEndings) {
      const isOrphan = how === "withdrawn" && state.overrides.has(functionId);
      if (known?.functions.has(functionId) === true || isOrphan)
        entries.push({ kind: "withdraw", member, functionId, how });
    }
    for (const [identity, ending] of this.#triggerEndings) {
      const triggerId = state.identities.get(identity);
      if (triggerId === undefined) continue;
      const own = triggerId === ending.ownId ? "withdrawn" : "lost";
      const isOrphan =
        ending.how === "withdrawn" && state.triggers.get(triggerId)?.holders.size === 0;
      if (holds(triggerId) || isOrphan)
        entries.push({ kind: "unbind", member, triggerId, how: ending.how ?? own, reattachMs });
    }
    const functionIds = Array.from(this.#functions).filter(
      (id) => known?.functions.has(id) !== true || this.#functionEndings.has(id),
    );
    if (functionIds.length > 0) entries.push({ kind: "provide", member, functionIds });
    for (const [identity, { trigger, replacing }] of this.#triggers) {
      const triggerId = state.identities.get(identity);
      const isHeld = triggerId !== undefined && holds(triggerId);
      const replaces = replacing !== undefined;
      if (!isHeld || replaces || this.#triggerEndings.has(identity))
        entries.push({ kind: "bind", member, trigger, ...(replaces && { replaces }) });
    }
    if ((known?.contends ?? false) !== this.#contends)
      entries.push({ kind: "contend", member, contends: this.#contends });
    return entries;
  }

  /**
   * @returns a function that clears what takes effect once, the present endings and replacements, to
   *   be called when the fleet has agreed.
   */
  pendingOnce(): () => void {
    const functions = Array.from(this.#functionEndings);
    const triggers = Array.from(this.#triggerEndings);
    const replacements = Array.from(this.#triggers.values(), (wished) => ({
      wished,
      definition: wished.replacing,
    }));
    return () => {
      for (const { wished, definition } of replacements)
        if (wished.replacing === definition) wished.replacing = undefined;
      for (const [id, ending] of functions)
        if (this.#functionEndings.get(id) === ending) this.#functionEndings.delete(id);
      for (const [identity, ending] of triggers)
        if (this.#triggerEndings.get(identity) === ending) this.#triggerEndings.delete(identity);
    };
  }
}
