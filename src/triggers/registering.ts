import type { Registry } from "../core/coordinator.ts";
import { FunctionError } from "../core/function-call.ts";
import type { Outbox } from "../core/outbox.ts";
import {
  type BoundTrigger,
  type StartReason,
  type TriggerDefinition,
  canonical,
} from "../core/trigger.ts";
import { lineageOf } from "./lineages.ts";
import type { StateSource } from "./state-source.ts";
import { startReference } from "./start-reference.ts";

/** Dependencies of a registration. */
export interface RegisteringOptions {
  readonly registry: Registry;
  readonly states: StateSource;
  readonly outbox: Outbox;
}

/** Most entries that are added to the outbox at once. */
const MARKS_AT_ONCE = 64;

/**
 * Puts a trigger in force, and prepares its start if it needs one: when this resolves, every group
 * has an entry in the outbox with which the trigger receives its state.
 *
 * The order makes the start complete. The trigger is in force at every process before the groups are
 * listed, so each change is either in a state that is read later, or in the outbox. Its queues stay
 * shut until all entries are there, so that no event is delivered before the state of its group.
 * A process that dies in between leaves a trigger that is starting; its next registration prepares
 * the start again.
 *
 * @throws FunctionError trigger_invalid when its durable name is that of a trigger of another type.
 */
export async function bindTrigger(
  { registry, states, outbox }: RegisteringOptions,
  given: TriggerDefinition,
): Promise<BoundTrigger> {
  const { durable, start } = given.config;
  if (durable === undefined) return registry.bind(given);
  const definition = start === undefined ? given : { ...given, lineage: await lineageOf(outbox) };
  const known = registry.triggers().find((each) => each.definition.config.durable === durable);
  if (known !== undefined && known.definition.type !== definition.type) {
    throw new FunctionError(
      "trigger_invalid",
      `config.durable is the name of a ${known.definition.type} trigger; it may be another name, or that trigger may be deleted first.`,
    );
  }
  const reason = startOf(definition, known?.definition);
  if (reason === undefined) return registry.bind(definition);
  const starting = await registry.bind({ ...definition, isStarting: true });
  await prepareStart(states, starting, reason);
  return registry.bind(definition);
}

/**
 * Starts over the triggers that were started before a loss of history, on behalf of their
 * registrants. The state of each group replaces the events that wait for them.
 */
export async function startOverLost(
  options: RegisteringOptions,
  triggers: readonly BoundTrigger[],
): Promise<void> {
  const started = triggers.filter(({ definition }) => definition.lineage !== undefined);
  if (started.length === 0) return;
  const lineage = await lineageOf(options.outbox);
  for (const { id, definition } of started) {
    if (definition.lineage === lineage) continue;
    await bindTrigger(options, definition);
    // This process is not its registrant.
    await options.registry.unbind(id, "lost");
  }
}

/** Why the trigger has yet to receive the states of its groups; undefined: it has received them. */
function startOf(
  definition: TriggerDefinition,
  known: TriggerDefinition | undefined,
): StartReason | undefined {
  if (definition.config.start === undefined) return undefined;
  if (known?.config.start === undefined || placeOf(definition) !== placeOf(known))
    return "registered";
  if (known.lineage !== undefined && known.lineage !== definition.lineage) return "lost_history";
  return known.isStarting === true ? "registered" : undefined;
}

function placeOf({ config: { streamName, groupId, itemId } }: TriggerDefinition): string {
  return canonical({ streamName, groupId, itemId });
}

async function prepareStart(
  states: StateSource,
  { id, definition }: BoundTrigger,
  reason: StartReason,
): Promise<void> {
  const { streamName = "", groupId } = definition.config;
  const reference = startReference(id, reason);
  const mark = (group: string) => states.mark({ streamName, groupId: group }, reference);
  if (groupId !== undefined) return mark(groupId);
  let groups: readonly string[] = await states.groups(streamName, undefined);
  while (groups.length > 0) {
    for (let i = 0; i < groups.length; i += MARKS_AT_ONCE)
      await Promise.all(groups.slice(i, i + MARKS_AT_ONCE).map(mark));
    groups = await states.groups(streamName, groups.at(-1));
  }
}
