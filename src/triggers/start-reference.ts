import { START_REASONS, type StartReason } from "../core/trigger.ts";

/** A reference to a trigger in an entry of the outbox. */
export interface TriggerReference {
  readonly triggerId: string;
  /**
   * Undefined: the trigger receives the event of the entry. Otherwise it receives the state of the
   * group, read when its turn comes, in place of all earlier events of the group; the event of the
   * entry is empty.
   */
  readonly start: StartReason | undefined;
}

/**
 * The reference with which a trigger receives the state of a group. Ids of triggers have no `#`.
 * Versions without durable triggers know no trigger with such an id, and skip it.
 */
export function startReference(triggerId: string, start: StartReason): string {
  return `${triggerId}#${start}`;
}

/** Reads a reference: the id of a trigger, or what `startReference` returned. */
export function readReference(reference: string): TriggerReference {
  const at = reference.indexOf("#");
  const start =
    at < 0 ? undefined : START_REASONS.find((known) => known === reference.slice(at + 1));
  return start === undefined
    ? { triggerId: reference, start }
    : { triggerId: reference.slice(0, at), start };
}
