import type { Registry } from "../core/coordinator.ts";
import { FunctionError } from "../core/function-call.ts";
import { type BoundTrigger, type TriggerDefinition, canonical } from "../core/trigger.ts";
import type { StateSource } from "./state-source.ts";
import { startReference } from "./start-reference.ts";

/** Most entries that are added to the outbox at once. */
const MARKS_AT_ONCE = 64;

/**
 * Puts a trigger in force, and prepares its start if it needs one: when this resolves, every group
 * has an entry in the outbox with which the trigger receives its state.
 *
 * The order makes the start complete. The trigger is in force at every process before the groups are
 * listed, so each change is either in a state that is read later, or in the outbox. Its queues stay
 * shut until all entries are there, so that no event comes before the state of its group. A process
 * that dies in between leaves a trigger that is starting; its next registration prepares the start
 * again.
 *
 * @throws FunctionError trigger_invalid when its durable name is that of a trigger of another type.
 */
export async function bindTrigger(
  registry: Registry,
  states: StateSource,
  definition: TriggerDefinition,
): Promise<BoundTrigger> {
  const { durable } = definition.config;
  if (durable === undefined) return registry.bind(definition);
  const known = registry.triggers().find((each) => each.definition.config.durable === durable);
  if (known !== undefined && known.definition.type !== definition.type) {
    throw new FunctionError(
      "trigger_invalid",
      `config.durable is the name of a ${known.definition.type} trigger; it may be another name, or that trigger may be deleted first.`,
    );
  }
  if (!needsStart(definition, known?.definition)) return registry.bind(definition);
  const starting = await registry.bind({ ...definition, isStarting: true });
  await prepareStart(states, starting);
  return registry.bind(definition);
}

/** Whether the trigger has yet to receive the state of what it matches. */
function needsStart(definition: TriggerDefinition, known: TriggerDefinition | undefined): boolean {
  if (definition.config.start === undefined) return false;
  if (known?.config.start === undefined || known.isStarting === true) return true;
  return placeOf(definition) !== placeOf(known);
}

function placeOf({ config: { streamName, groupId, itemId } }: TriggerDefinition): string {
  return canonical({ streamName, groupId, itemId });
}

async function prepareStart(states: StateSource, { id, definition }: BoundTrigger): Promise<void> {
  const { streamName = "", groupId } = definition.config;
  const reference = startReference(id, "registered");
  const mark = (group: string) => states.mark({ streamName, groupId: group }, reference);
  if (groupId !== undefined) return mark(groupId);
  let groups: readonly string[] = await states.groups(streamName, undefined);
  while (groups.length > 0) {
    for (let i = 0; i < groups.length; i += MARKS_AT_ONCE)
      await Promise.all(groups.slice(i, i + MARKS_AT_ONCE).map(mark));
    groups = await states.groups(streamName, groups.at(-1));
  }
}
