import { isOverrideId } from "../../core/overrides.ts";
import { type BoundTrigger, isLasting, triggerIdentity } from "../../core/trigger.ts";
import {
  type FleetDraft,
  draftOf,
  type FleetState,
  type FleetStateJson,
  type FleetTrigger,
  type FleetMember,
  providersOf,
  readState,
} from "./fleet-state.ts";

/**
 * One change of a fleet's agreed state, as JSON. Entries of non-members are void, and so are those
 * of a kind that a process does not know yet.
 */
export type FleetEntry =
  | { readonly kind: "join"; readonly member: string; readonly reattachMs: number }
  /** The member left in good order, or its lease ended. */
  | { readonly kind: "leave" | "expire"; readonly member: string; readonly reattachMs: number }
  | { readonly kind: "provide"; readonly member: string; readonly functionIds: readonly string[] }
  | {
      readonly kind: "withdraw";
      readonly member: string;
      readonly functionId: string;
      readonly how: "withdrawn" | "lost";
    }
  /** The id is that of the trigger unless one of the same identity is in force. */
  | {
      readonly kind: "bind";
      readonly member: string;
      readonly trigger: BoundTrigger;
      /** Whether its definition replaces that of the trigger in force. Absent: it does not. */
      readonly replaces?: boolean | undefined;
    }
  | {
      readonly kind: "unbind";
      readonly member: string;
      readonly triggerId: string;
      readonly how: "withdrawn" | "lost";
      readonly reattachMs: number;
    }
  /** Void unless the time to bind the trigger again has passed. */
  | { readonly kind: "end"; readonly triggerId: string }
  | { readonly kind: "contend"; readonly member: string; readonly contends: boolean }
  /** Void unless the partition is free. */
  | { readonly kind: "take"; readonly member: string; readonly partition: number }
  | { readonly kind: "release"; readonly member: string; readonly partition: number }
  /** The member carries out orders. */
  | { readonly kind: "obey"; readonly member: string }
  /** The member issues an order. */
  | {
      readonly kind: "order";
      readonly member: string;
      readonly orderId: string;
      readonly text: string;
    }
  /** The member no longer waits for its order. */
  | { readonly kind: "settle"; readonly member: string; readonly orderId: string }
  /**
   * The state that a member had read of a log that was lost, and the lineages that it covers, each
   * up to a version.
   */
  | {
      readonly kind: "restore";
      readonly state: FleetStateJson;
      readonly origins: readonly (readonly [lineage: string, version: number])[];
      readonly reattachMs: number;
    };

/** One appended record of the log. */
export interface FleetRecord {
  readonly version: number;
  /** Distinguishes this record from one of the same version that is appended after a loss. */
  readonly token: string;
  /** Time of the append, by the clock of Redis. */
  readonly atMs: number;
  readonly entries: readonly FleetEntry[];
}

/** The state after a record. Pure: members that apply the same log have the same state. */
export function applyRecord(state: FleetState, record: FleetRecord): FleetState {
  const draft = draftOf(state);
  for (const entry of record.entries) apply(draft, entry, record);
  const { members, triggers } = draft.now;
  if (members !== state.members || triggers !== state.triggers) noteAway(draft, record.atMs);
  return draft.now;
}

/** Notes since when the functions of durable triggers have had no provider. */
function noteAway(draft: FleetDraft, atMs: number): void {
  for (const trigger of draft.now.triggers.values()) {
    const { definition, awaySinceMs } = trigger.bound;
    if (definition.config.durable === undefined) continue;
    const isAway = providersOf(draft.now, definition.functionId).length === 0;
    if (isAway === (awaySinceMs !== undefined)) continue;
    const bound = { ...trigger.bound, awaySinceMs: isAway ? Math.floor(atMs) : undefined };
    put(draft, { ...trigger, bound });
  }
}

function apply(draft: FleetDraft, entry: FleetEntry, { version, atMs }: FleetRecord): void {
  const { now } = draft;
  if (entry.kind === "end") {
    const trigger = now.triggers.get(entry.triggerId);
    if (trigger?.lostUntilMs !== undefined && trigger.lostUntilMs <= atMs) end(draft, trigger);
    return;
  }
  if (entry.kind === "restore") return restore(draft, entry, atMs);
  if (entry.kind === "join") return join(draft, entry.member, version, atMs + entry.reattachMs);
  const member = now.members.get(entry.member);
  if (member === undefined) return;
  switch (entry.kind) {
    case "leave":
    case "expire":
      return remove(draft, entry.member, atMs + entry.reattachMs);
    case "provide":
      return provide(draft, entry.member, member, entry.functionIds);
    case "withdraw":
      return withdraw(draft, entry.member, member, entry.functionId, entry.how);
    case "bind":
      return bind(draft, entry.member, entry.trigger, entry.replaces === true);
    case "unbind": {
      const trigger = now.triggers.get(entry.triggerId);
      if (trigger === undefined) return;
      if (entry.how === "withdrawn") return withdrawTrigger(draft, entry.member, trigger);
      return lose(draft, entry.member, trigger, atMs + entry.reattachMs);
    }
    case "contend":
      return void draft.members().set(entry.member, { ...member, contends: entry.contends });
    case "take":
      if (!now.owners.has(entry.partition)) {
        // By time, not by version: versions start over when the log is lost; outboxes may survive.
        const fence = `${atMs}-${version}-${entry.member}`;
        draft.owners().set(entry.partition, { member: entry.member, fence });
      }
      return;
    case "release":
      if (now.owners.get(entry.partition)?.member === entry.member)
        draft.owners().delete(entry.partition);
      return;
    case "obey":
      return void draft.members().set(entry.member, { ...member, obeys: true });
    case "order":
      if (!now.orders.has(entry.orderId))
        draft.orders().set(entry.orderId, { issuer: entry.member, text: entry.text });
      return;
    case "settle":
      if (now.orders.get(entry.orderId)?.issuer === entry.member)
        draft.orders().delete(entry.orderId);
      return;
  }
}

function join(draft: FleetDraft, id: string, version: number, lostUntilMs: number): void {
  const { members, triggers } = draft.now;
  if (members.has(id)) return;
  if (members.size === 0) {
    // No member could bind these triggers while the fleet was empty: they wait in full again.
    for (const trigger of triggers.values())
      if (trigger.lostUntilMs !== undefined) put(draft, { ...trigger, lostUntilMs });
  }
  draft.members().set(id, { since: version, functions: new Set(), contends: false, obeys: false });
}

function remove(draft: FleetDraft, id: string, lostUntilMs: number): void {
  const { triggers, owners, orders } = draft.now;
  draft.members().delete(id);
  for (const trigger of triggers.values()) lose(draft, id, trigger, lostUntilMs);
  for (const [partition, { member }] of owners) if (member === id) draft.owners().delete(partition);
  for (const [orderId, { issuer }] of orders) if (issuer === id) draft.orders().delete(orderId);
}

function provide(
  draft: FleetDraft,
  id: string,
  member: FleetMember,
  functionIds: readonly string[],
): void {
  const functions = new Set([...member.functions, ...functionIds]);
  draft.members().set(id, { ...member, functions });
  for (const functionId of functionIds)
    if (isOverrideId(functionId)) draft.overrides().add(functionId);
}

function withdraw(
  draft: FleetDraft,
  id: string,
  member: FleetMember,
  functionId: string,
  how: "withdrawn" | "lost",
): void {
  if (member.functions.has(functionId)) {
    const functions = new Set(member.functions);
    functions.delete(functionId);
    draft.members().set(id, { ...member, functions });
  }
  const isLast = how === "withdrawn" && providersOf(draft.now, functionId).length === 0;
  if (isLast && draft.now.overrides.has(functionId)) draft.overrides().delete(functionId);
}

function bind(draft: FleetDraft, id: string, given: BoundTrigger, replaces: boolean): void {
  const identity = triggerIdentity(given.definition);
  const known = draft.now.triggers.get(draft.now.identities.get(identity) ?? "");
  const holders = new Set(known?.holders).add(id);
  const { definition } = replaces || known === undefined ? given : known.bound;
  const bound = known === undefined ? given : { ...known.bound, definition };
  put(draft, { bound, identity, holders, lostUntilMs: undefined });
}

function withdrawTrigger(draft: FleetDraft, id: string, trigger: FleetTrigger): void {
  const holders = new Set(trigger.holders);
  holders.delete(id);
  if (holders.size === 0) end(draft, trigger);
  else put(draft, { ...trigger, holders });
}

function lose(draft: FleetDraft, id: string, trigger: FleetTrigger, lostUntilMs: number): void {
  if (!trigger.holders.has(id)) return;
  const holders = new Set(trigger.holders);
  holders.delete(id);
  const mayEnd = holders.size === 0 && !isLasting(trigger.bound.definition);
  put(draft, { ...trigger, holders, lostUntilMs: mayEnd ? lostUntilMs : undefined });
}

/**
 * Adds what is missing. A listed member that is alive corrects its own entries; one that is not
 * expires.
 */
function restore(draft: FleetDraft, entry: FleetEntry & { kind: "restore" }, atMs: number): void {
  const before = readState(entry.state);
  const lostUntilMs = atMs + entry.reattachMs;
  for (const [id, member] of before.members)
    if (!draft.now.members.has(id)) draft.members().set(id, { ...member, since: 0 });
  for (const functionId of before.overrides) draft.overrides().add(functionId);
  for (const trigger of before.triggers.values()) {
    const { now } = draft;
    const known = now.triggers.get(now.identities.get(trigger.identity) ?? "");
    const holders = new Set([...(known?.holders ?? []), ...trigger.holders]);
    for (const holder of holders) if (!now.members.has(holder)) holders.delete(holder);
    const mayEnd = holders.size === 0 && !isLasting(trigger.bound.definition);
    const { bound, identity } = known ?? trigger;
    put(draft, { bound, identity, holders, lostUntilMs: mayEnd ? lostUntilMs : undefined });
  }
  for (const [partition, owner] of before.owners)
    if (!draft.now.owners.has(partition)) draft.owners().set(partition, owner);
  for (const [orderId, order] of before.orders) {
    const { members, orders } = draft.now;
    if (members.has(order.issuer) && !orders.has(orderId)) draft.orders().set(orderId, order);
  }
  for (const [lineage, version] of [...before.origins, ...entry.origins]) {
    const known = draft.now.origins.get(lineage) ?? 0;
    draft.origins().set(lineage, Math.max(known, version));
  }
}

function put(draft: FleetDraft, trigger: FleetTrigger): void {
  draft.triggers().set(trigger.bound.id, trigger);
  if (draft.now.identities.get(trigger.identity) !== trigger.bound.id)
    draft.identities().set(trigger.identity, trigger.bound.id);
}

function end(draft: FleetDraft, { bound, identity }: FleetTrigger): void {
  draft.triggers().delete(bound.id);
  draft.identities().delete(identity);
}
