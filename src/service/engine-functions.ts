import type { Registry } from "../core/coordinator.ts";
import { TRIGGER_TYPES, type TriggerType } from "../core/trigger.ts";
import type { FunctionRegistry } from "../functions/function-registry.ts";
import type { Provider } from "../functions/provider.ts";
import { writeTrigger } from "../triggers/definition.ts";
import { type Payload, payloadOf, textField } from "./function-payload.ts";

/** Dependencies of the listings. */
export interface EngineFunctionsOptions {
  readonly functions: Pick<FunctionRegistry, "list">;
  readonly registry: Pick<Registry, "triggers">;
}

/** One line of a listing, as workers of iii know it. */
interface Row {
  readonly worker_name: string;
}

/** Worker name of built-in functions and trigger types. */
const SERVICE = "millrace";
/** Functions that are listed only with `include_internal`. */
const INTERNAL = /^(?:engine|millrace)::/;
/** Most characters of a trigger's config in its summary. */
const MAX_SUMMARY = 200;

const DESCRIPTIONS: Readonly<Record<TriggerType, string>> = {
  stream: "After an item of the stream changes, or an event is sent to it.",
  "stream:join": "Before a subscription or a read of a user; its function may refuse it.",
  "stream:leave": "After a subscription ends.",
  "stream:write": "Before a write of a user; its function may refuse the write or change it.",
};

/**
 * The functions `engine::functions::list`, `engine::triggers::list` (types of triggers) and
 * `engine::registered-triggers::list`: the discovery calls of iii workers.
 *
 * All take an optional `worker` (the exact name of a worker) and `search` (text in the id, in any
 * case); the first two also `prefix` of the id, the last one also `trigger_type` and `function_id`.
 * Functions that begin with `engine::` or `millrace::` are left out unless `include_internal` is true. Other fields
 * are ignored.
 */
export function engineFunctions({
  functions,
  registry,
}: EngineFunctionsOptions): ReadonlyMap<string, Provider> {
  const listed = () =>
    functions.list().map(({ functionId, isBuiltIn, workerName }) => ({
      function_id: functionId,
      worker_name: isBuiltIn ? SERVICE : workerName,
      description: null,
    }));
  const listings: Readonly<Record<string, (query: Payload) => object>> = {
    "engine::functions::list": (query) => ({
      functions: listed().filter(
        (row) =>
          matches(query, row.function_id, row) &&
          (query["include_internal"] === true || !INTERNAL.test(row.function_id)),
      ),
    }),
    "engine::triggers::list": (query) => ({
      triggers: TRIGGER_TYPES.map((id) => ({
        id,
        worker_name: SERVICE,
        description: DESCRIPTIONS[id],
      })).filter((row) => matches(query, row.id, row)),
    }),
    "engine::registered-triggers::list": (query) => {
      const type = textField(query, "trigger_type");
      const functionId = textField(query, "function_id");
      const names = new Map(listed().map((row) => [row.function_id, row.worker_name]));
      return {
        registered_triggers: registry
          .triggers()
          .map(({ id, definition }) => {
            const { config, metadata } = writeTrigger(definition);
            return {
              id,
              trigger_type: definition.type,
              function_id: definition.functionId,
              worker_name: names.get(definition.functionId) ?? "",
              config_summary: summaryOf(config),
              config,
              metadata: metadata ?? null,
            };
          })
          .filter(
            (row) =>
              (type === undefined || row.trigger_type === type) &&
              (functionId === undefined || row.function_id === functionId) &&
              matches(query, row.function_id, row),
          ),
      };
    },
  };
  return new Map(
    Object.entries(listings).map(([id, list]): [string, Provider] => [
      id,
      {
        // Workers also call without a payload.
        invoke: async ({ payload }) =>
          JSON.stringify(list(payload === "null" ? {} : payloadOf(payload))),
      },
    ]),
  );
}

function matches(query: Payload, id: string, { worker_name: workerName }: Row): boolean {
  const worker = textField(query, "worker");
  const prefix = textField(query, "prefix");
  const search = textField(query, "search");
  return (
    (worker === undefined || workerName === worker) &&
    (prefix === undefined || id.startsWith(prefix)) &&
    (search === undefined || id.toLowerCase().includes(search.toLowerCase()))
  );
}

function summaryOf(config: unknown): string {
  const json = JSON.stringify(config);
  return json.length <= MAX_SUMMARY ? json : `${json.slice(0, MAX_SUMMARY).toWellFormed()}...`;
}
