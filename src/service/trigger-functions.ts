import type { Provider } from "../functions/provider.ts";
import type { TriggerReport } from "../triggers/trigger-engine.ts";
import { administrationFunctions, numberField } from "./administration-functions.ts";
import type { DeadLetter, DeadLetterBox } from "./dead-letter-box.ts";
import { textField } from "./function-payload.ts";
import { type TriggerAdministration, durableNameOf } from "./trigger-administration.ts";

/**
 * The functions `millrace::triggers::list`, `::delete`, `::list_dead_letters` and
 * `::replay_dead_letter`: the calls of the AdminService, with payloads of the same fields in snake
 * case. Errors of the service have the code `TRIGGERS_ERROR`, and a message that begins with the
 * reason.
 */
export function triggerFunctions(
  administration: TriggerAdministration & DeadLetterBox,
): ReadonlyMap<string, Provider> {
  return administrationFunctions("TRIGGERS_ERROR", {
    "millrace::triggers::list": async (payload) => {
      const { triggers, nextPageToken } = await administration.listTriggers({
        pageSize: numberField(payload, "page_size") ?? 0,
        pageToken: textField(payload, "page_token") ?? "",
      });
      return { triggers: triggers.map(triggerRow), next_page_token: nextPageToken };
    },
    "millrace::triggers::delete": (payload) =>
      administration.deleteTrigger({
        triggerId: textField(payload, "trigger_id"),
        durable: textField(payload, "durable"),
      }),
    "millrace::triggers::list_dead_letters": async (payload) => {
      const { deadLetters, nextPageToken } = await administration.listDeadLetters({
        functionId: textField(payload, "function_id"),
        pageSize: numberField(payload, "page_size") ?? 0,
        pageToken: textField(payload, "page_token") ?? "",
      });
      return { dead_letters: deadLetters.map(letterRow), next_page_token: nextPageToken };
    },
    "millrace::triggers::replay_dead_letter": async (payload) => {
      const { replayed, error } = await administration.replayDeadLetter({
        functionId: textField(payload, "function_id") ?? "",
        id: textField(payload, "dead_letter_id") ?? "",
      });
      return { replayed, code: error?.code ?? "", message: error?.message ?? "" };
    },
  });
}

function triggerRow(trigger: TriggerReport): object {
  return {
    trigger_id: trigger.id,
    type: trigger.type,
    function_id: trigger.function_id,
    config: trigger.config,
    metadata: trigger.metadata ?? null,
    durable: durableNameOf(trigger) ?? "",
    served: trigger.served,
    backlog: trigger.pending,
    oldest_time: trigger.oldestMs ?? null,
    away_since: trigger.awaySinceMs ?? null,
    ...trigger.counts,
    starting: trigger.starting,
  };
}

function letterRow({ functionId, id, error, time, ...rest }: DeadLetter): object {
  return {
    function_id: functionId,
    dead_letter_id: id,
    ...error,
    time: time.getTime(),
    trigger: rest.trigger ?? null,
    payload: rest.payload ?? null,
    payload_text: rest.payloadText ?? "",
  };
}
