import { type BoundTrigger, type TriggerDefinition, triggerIdentity } from "../../core/trigger.ts";
import { processOf } from "./fleet-keys.ts";
import type { FleetEntry } from "./fleet-log.ts";
import type { FleetState } from "./fleet-state.ts";

/** How something ends that a process had put in force. */
type How = "withdrawn" | "lost";

interface WishedTrigger {
  /** Its id, unless an equal one is in force already. */
  readonly trigger: BoundTrigger;
  /** Calls that have yet to be answered. */
  waiting: number;
  /** Whether a call was answered. */
  isAnswered: boolean;
}

interface Ending {
  /** Undefined: withdrawn if this process made it, otherwise lost. */
  readonly how: How | undefined;
  /** Id that this process gave to the trigger. */
  readonly ownId: string | undefined;
}

/**
 * What this process wants to be in force on its behalf, and what it wants to end. It remains so until
 * the fleet has agreed to it, however often Redis is away or this process has to join anew.
 */
export class Wishes {
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
    // What was withdrawn is not made a loss by a second call.
    if (this.#functionEndings.get(functionId)?.how !== "withdrawn")
      this.#functionEndings.set(functionId, { how });
  }

  /** @returns identity of the trigger. */
  bind(definition: TriggerDefinition): string {
    const identity = triggerIdentity(definition);
    const trigger = { id: crypto.randomUUID(), definition };
    const wished = this.#triggers.get(identity) ?? { trigger, waiting: 0, isAnswered: false };
    this.#triggers.set(identity, wished);
    wished.waiting++;
    return identity;
  }

  /** A call of `bind` is answered. When none was answered well and none waits, the wish is undone. */
  answered(identity: string, isWell: boolean): void {
    const wished = this.#triggers.get(identity);
    if (wished === undefined) return;
    wished.waiting--;
    wished.isAnswered ||= isWell;
    if (wished.waiting > 0 || wished.isAnswered) return;
    this.#triggers.delete(identity);
    this.#triggerEndings.set(identity, { how: undefined, ownId: wished.trigger.id });
  }

  unbind(identity: string, how: How): void {
    this.#triggers.delete(identity);
    if (this.#triggerEndings.get(identity)?.how !== "withdrawn")
      this.#triggerEndings.set(identity, { how, ownId: undefined });
  }

  /** Asks for partitions, or no longer. */
  contend(contends: boolean): void {
    this.#contends = contends;
  }

  /** What has to change for all that to be so, the member included. Nothing is noted as done. */
  entries(state: FleetState, member: string): readonly FleetEntry[] {
    const entries: FleetEntry[] = [];
    const reattachMs = this.#reattachMs;
    const known = state.members.get(member);
    // Ends what it was before, and begins anew with all there is.
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
    for (const [identity, { trigger }] of this.#triggers) {
      const triggerId = state.identities.get(identity);
      const isHeld = triggerId !== undefined && holds(triggerId);
      if (!isHeld || this.#triggerEndings.has(identity))
        entries.push({ kind: "bind", member, trigger });
    }
    if ((known?.contends ?? false) !== this.#contends)
      entries.push({ kind: "contend", member, contends: this.#contends });
    return entries;
  }

  /** The endings that there are, to be noted as done once the fleet has agreed to them. */
  pendingEndings(): () => void {
    const functions = Array.from(this.#functionEndings);
    const triggers = Array.from(this.#triggerEndings);
    return () => {
      for (const [id, ending] of functions)
        if (this.#functionEndings.get(id) === ending) this.#functionEndings.delete(id);
      for (const [identity, ending] of triggers)
        if (this.#triggerEndings.get(identity) === ending) this.#triggerEndings.delete(identity);
    };
  }
}
