import { FunctionError } from "../core/function-call.ts";
import { durationTextMs } from "../core/duration.ts";
import { StreamError } from "../core/errors.ts";
import { opsFromJson } from "../core/op-json.ts";
import { Value } from "../core/value.ts";
import { currentCaller } from "./current-caller.ts";
import type { Provider } from "../functions/provider.ts";
import {
  type Payload,
  flagField,
  malformedPayload,
  payloadOf,
  textField,
} from "./function-payload.ts";
import type { Handlers } from "./handlers.ts";
import type { DeleteResult, SetResult } from "./requests.ts";

type BuiltIn = (payload: Payload) => Promise<string | undefined>;

/** Result of functions without a result of their own. */
const NULL = "null";

/** Built-in function -> the code of its errors. */
const CODES = {
  "stream::set": "STREAM_SET_ERROR",
  "stream::get": "STREAM_GET_ERROR",
  "stream::update": "STREAM_UPDATE_ERROR",
  "stream::delete": "STREAM_DELETE_ERROR",
  "stream::send": "STREAM_SEND_ERROR",
  "stream::list": "STREAM_GET_GROUP_ERROR",
  "stream::list_groups": "STREAM_LIST_GROUPS_ERROR",
  "stream::list_all": "STREAM_LIST_ALL_ERROR",
} as const;

/**
 * The functions `stream::set` and so on: the calls of the service, with the payloads and results
 * that existing workers know. Unknown fields of a payload are ignored. The author of a write is the
 * function that makes the call, if one does.
 *
 * Payloads of the wrong shape fail with `deserialization_error`; errors of the service have the
 * code `STREAM_SET_ERROR` and the like, and a message that begins with the reason.
 *
 * @param maxResultBytes Largest list that they return, in bytes of JSON text.
 */
export function builtInFunctions(
  handlers: Handlers,
  maxResultBytes: number,
): ReadonlyMap<string, Provider> {
  const run: Readonly<Record<keyof typeof CODES, BuiltIn>> = {
    "stream::set": async (payload) => {
      const data = Value.of(required(payload, "data"));
      const done = await handlers.set(
        { ...itemOf(payload), ...conditionsOf(payload), ...lifetimeOf(payload), data },
        currentCaller(),
      );
      return written(done.oldValue, done.newValue, repetition(done));
    },
    "stream::get": async (payload) =>
      (await handlers.get(itemOf(payload), currentCaller()))?.value.text,
    "stream::update": async (payload) => {
      const ops = opsFromJson(required(payload, "ops"));
      const done = await handlers.update(
        { ...itemOf(payload), ...conditionsOf(payload), ...lifetimeOf(payload), ops },
        currentCaller(),
      );
      const errors = done.errors.map(({ opIndex, code, message }) => ({
        op_index: opIndex,
        code,
        message,
      }));
      return written(
        done.oldValue,
        done.newValue,
        errors.length === 0 ? repetition(done) : `,"errors":${JSON.stringify(errors)}`,
      );
    },
    "stream::delete": async (payload) => {
      const done = await handlers.delete(
        { ...itemOf(payload), ...conditionsOf(payload) },
        currentCaller(),
      );
      return `{"old_value":${done.oldValue?.text ?? NULL}${repetition(done)}}`;
    },
    "stream::send": async (payload) => {
      const data = Value.of(required(payload, "data"));
      const type = textField(payload, "type") ?? textField(payload, "event_type");
      const itemId = textField(payload, "item_id") ?? textField(payload, "id");
      await handlers.send(
        { ...groupOf(payload), type, itemId: itemId || undefined, data },
        currentCaller(),
      );
      return NULL;
    },
    "stream::list": async (payload) => {
      const request = { ...groupOf(payload), descending: flagField(payload, "descending") };
      const texts: string[] = [];
      let bytes = 0;
      await allPages(async (page) => {
        const { items, nextPageToken } = await handlers.list(
          { ...request, ...page },
          currentCaller(),
        );
        for (const { value } of items) {
          texts.push(value.text);
          // The value and its comma.
          bytes += value.size + 1;
        }
        if (bytes > maxResultBytes) {
          throw new StreamError(
            "RESPONSE_TOO_LARGE",
            `The values of the group have more than ${maxResultBytes} bytes together; they may be read page by page with List.`,
          );
        }
        return nextPageToken;
      });
      return `[${texts.join(",")}]`;
    },
    "stream::list_groups": async (payload) => {
      const streamName = requiredText(payload, "stream_name");
      const ids: string[] = [];
      await allPages(async (page) => {
        const { groups, nextPageToken } = await handlers.listGroups(
          { streamName, ...page },
          currentCaller(),
        );
        ids.push(...groups);
        return nextPageToken;
      });
      return JSON.stringify(ids);
    },
    "stream::list_all": async () => {
      const byName = new Map<string, string[]>();
      let count = 0;
      await allPages(async (page) => {
        const listed = await handlers.listAll(page, currentCaller());
        count = listed.count;
        for (const { streamName, groups } of listed.streams) {
          const known = byName.get(streamName);
          if (known === undefined) byName.set(streamName, [...groups]);
          else known.push(...groups);
        }
        return listed.nextPageToken;
      });
      const stream = Array.from(byName, ([id, groups]) => ({ id, groups }));
      return JSON.stringify({ stream, count });
    },
  };
  return new Map(
    Object.entries(run).map(([id, call]): [string, Provider] => [
      id,
      {
        async invoke({ payload }) {
          try {
            return await call(payloadOf(payload));
          } catch (error) {
            throw asFunctionError(error, CODES[id as keyof typeof CODES]);
          }
        },
      },
    ]),
  );
}

async function allPages(
  read: (page: { readonly pageSize: number; readonly pageToken: string }) => Promise<string>,
): Promise<void> {
  for (let pageToken = "", first = true; first || pageToken !== ""; first = false)
    pageToken = await read({ pageSize: 1000, pageToken });
}

function written(oldValue: Value | undefined, newValue: Value | undefined, more = ""): string {
  return `{"old_value":${oldValue?.text ?? NULL},"new_value":${newValue?.text ?? NULL}${more}}`;
}

/** What the result of a repetition has in place of values; empty for other results. */
function repetition(done: SetResult | DeleteResult): string {
  const { deduplicated, position } = done;
  if (deduplicated !== true) return "";
  const created = "created" in done ? done.created : undefined;
  const fields = JSON.stringify({ deduplicated, created, position });
  return `,${fields.slice(1, -1)}`;
}

function groupOf(payload: Payload) {
  return {
    streamName: requiredText(payload, "stream_name"),
    groupId: requiredText(payload, "group_id"),
  };
}

function itemOf(payload: Payload) {
  return { ...groupOf(payload), itemId: requiredText(payload, "item_id") };
}

/** What a write expects, and its idempotency key. */
function conditionsOf(payload: Payload) {
  const revision = payload["expected_revision"] ?? undefined;
  const isText = typeof revision === "string" && /^\d{1,16}$/.test(revision);
  const expectedRevision = isText ? Number(revision) : revision;
  if (expectedRevision !== undefined && typeof expectedRevision !== "number")
    throw malformedPayload(
      "expected_revision is not a number; it may be an integer from 0 to 2^53-1, or absent.",
    );
  return {
    expectedRevision,
    expectedEpoch: textField(payload, "expected_epoch"),
    idempotencyKey: textField(payload, "idempotency_key"),
  };
}

/** How long the item of a write lives. `ttl` is a Duration in its JSON form, as in RPC. */
function lifetimeOf(payload: Payload) {
  const text = textField(payload, "ttl");
  const ttl = text === undefined ? undefined : durationTextMs(text);
  if (text !== undefined && ttl === undefined)
    throw malformedPayload('ttl is not a duration; it may be seconds such as "30s", or absent.');
  return { ttl, whileConnected: flagField(payload, "while_connected") };
}

function requiredText(payload: Payload, field: string): string {
  const value = textField(payload, field);
  if (value === undefined) throw malformedPayload(`${field} is missing; it may be a name.`);
  return value;
}

/** A required field; null counts as present. */
function required(payload: Payload, field: string): unknown {
  const value = payload[field];
  if (value === undefined) throw malformedPayload(`${field} is missing; it may be any JSON value.`);
  return value;
}

function asFunctionError(error: unknown, code: string): FunctionError {
  if (error instanceof FunctionError) return error;
  const { reason, message, cause } = StreamError.from(error);
  if (reason === "OP_MALFORMED") return malformedPayload(message);
  // A function of a custom stream returned the wrong shape.
  if (cause instanceof FunctionError && cause.code === "JSON_ERROR")
    return new FunctionError("JSON_ERROR", message, { cause });
  return new FunctionError(code, `${reason}: ${message}`, { cause: error });
}
