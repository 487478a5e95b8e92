import type { Registry } from "../../core/coordinator.ts";
import { type Call, FunctionError } from "../../core/function-call.ts";
import { StreamError } from "../../core/errors.ts";
import type { GroupKey } from "../../core/names.ts";
import { checkName } from "../../core/names.ts";
import { type Override, overriddenStream, overrideId } from "../../core/overrides.ts";
import { Value } from "../../core/value.ts";
import { currentCause, runCaused } from "../../functions/cause.ts";

/** Result of a write to the outside, as far as its function returned it. */
export interface OutsideWrite {
  /** Undefined: the function did not return it. */
  readonly oldValue: { readonly value: Value | undefined } | undefined;
  readonly newValue: Value | undefined;
}

/** The values of custom streams, stored outside the service and accessed by functions. */
export interface Outside {
  /** Whether the stream has functions of its own. */
  isCustom(streamName: string): boolean;
  /** Whether the stream has a function for the operation. */
  has(override: Override, streamName: string): boolean;
  /** The value of an item; undefined when there is none. */
  get(group: GroupKey, itemId: string): Promise<Value | undefined>;
  /** Stores a value. */
  set(group: GroupKey, itemId: string, data: Value): Promise<OutsideWrite>;
  /** Changes a value by steps, in their JSON form. */
  update(group: GroupKey, itemId: string, ops: string): Promise<OutsideWrite>;
  /** Removes an item. */
  delete(group: GroupKey, itemId: string): Promise<OutsideWrite>;
  /** All values of a group. */
  list(group: GroupKey): Promise<readonly Value[]>;
  /** Ids of all groups. */
  groups(streamName: string): Promise<readonly string[]>;
}

/**
 * Calls the functions of custom streams.
 *
 * @throws StreamError STORE_UNAVAILABLE when a function fails, OUTCOME_UNKNOWN when a write may
 *   have happened, INTERNAL with a cause of code JSON_ERROR when a result has the wrong shape.
 */
export function createOutside(call: Call, registry: Registry): Outside {
  let ids: ReadonlySet<string> | undefined;
  let names: ReadonlySet<string | undefined> = new Set();
  const refresh = () => {
    ids = new Set(registry.overrides());
    names = new Set(Array.from(ids, overriddenStream));
    return ids;
  };
  registry.watch(() => (ids = undefined));

  const callOutside = async (
    override: Override,
    {
      streamName,
      ...payload
    }: Partial<GroupKey> & { readonly streamName: string } & Record<string, unknown>,
    splice = "",
  ): Promise<unknown> => {
    const id = overrideId(override, streamName);
    const cause = currentCause();
    const fields = JSON.stringify({ stream_name: streamName, ...payload });
    const text = splice === "" ? fields : `${fields.slice(0, -1)},${splice}}`;
    let result: string | undefined;
    try {
      result = await runCaused({ ...cause, overriding: [...cause.overriding, streamName] }, () =>
        call(id, text),
      );
    } catch (error) {
      throw failure(id, override, FunctionError.from(error));
    }
    return result === undefined ? undefined : JSON.parse(result);
  };
  const itemPayload = ({ streamName, groupId }: GroupKey, itemId: string) => ({
    streamName,
    group_id: groupId,
    item_id: itemId,
  });
  const write = async (
    override: "set" | "update" | "delete",
    group: GroupKey,
    itemId: string,
    splice?: string,
  ): Promise<OutsideWrite> => {
    const result = await callOutside(override, itemPayload(group, itemId), splice);
    return writtenOf(overrideId(override, group.streamName), result);
  };

  return {
    isCustom(streamName) {
      if (ids === undefined) refresh();
      return names.size > 0 && names.has(streamName);
    },
    has: (override, streamName) =>
      (ids ?? refresh()).size > 0 && (ids ?? refresh()).has(overrideId(override, streamName)),
    async get(group, itemId) {
      const result = await callOutside("get", itemPayload(group, itemId));
      // Existing adapters return null for what they do not have.
      if (result === undefined || result === null) return undefined;
      return valueOf(overrideId("get", group.streamName), result);
    },
    set: (group, itemId, data) => write("set", group, itemId, `"data":${data.text}`),
    update: (group, itemId, ops) => write("update", group, itemId, `"ops":${ops}`),
    delete: (group, itemId) => write("delete", group, itemId),
    async list({ streamName, groupId }) {
      const id = overrideId("list", streamName);
      const result = (await callOutside("list", { streamName, group_id: groupId })) ?? [];
      if (!Array.isArray(result)) throw wrongShape(id, "a list of values");
      return result.map((each) => valueOf(id, each));
    },
    async groups(streamName) {
      const id = overrideId("list_groups", streamName);
      const result = (await callOutside("list_groups", { streamName })) ?? [];
      if (!Array.isArray(result)) throw wrongShape(id, "a list of group ids");
      try {
        return result.map((each: unknown) => checkName("group id", each));
      } catch {
        throw wrongShape(id, "a list of group ids");
      }
    },
  };
}

/** Refuses a call of a custom stream's function to its own stream: it would wait for itself. */
export function refuseReentry(streamName: string): void {
  if (!currentCause().overriding.includes(streamName)) return;
  throw new StreamError(
    "CUSTOM_STREAM_UNSUPPORTED",
    `A function of the custom stream ${streamName} called its own stream; it may read and write the data behind it instead.`,
  );
}

function writtenOf(id: string, result: unknown): OutsideWrite {
  if (result === undefined || result === null) return { oldValue: undefined, newValue: undefined };
  if (typeof result !== "object" || Array.isArray(result))
    throw wrongShape(id, "{old_value, new_value}, or nothing");
  const { old_value: before, new_value: after } = result as Readonly<Record<string, unknown>>;
  return {
    oldValue:
      before === undefined
        ? undefined
        : { value: before === null ? undefined : valueOf(id, before) },
    newValue: after === undefined || after === null ? undefined : valueOf(id, after),
  };
}

function valueOf(id: string, json: unknown): Value {
  try {
    return Value.of(json);
  } catch {
    throw wrongShape(id, "values within the limits of values");
  }
}

function wrongShape(id: string, may: string): StreamError {
  const message = `The custom stream's function ${id} returned the wrong shape; it may return ${may}.`;
  return new StreamError("INTERNAL", message, { cause: new FunctionError("JSON_ERROR", message) });
}

function failure(id: string, override: Override, error: FunctionError): StreamError {
  const { code } = error;
  const isWrite = override === "set" || override === "update" || override === "delete";
  if (isWrite && (code === "TIMEOUT" || code === "invocation_stopped")) {
    return new StreamError(
      "OUTCOME_UNKNOWN",
      `The custom stream's function ${id} did not respond (${code}); the call may or may not have taken effect.`,
      { cause: error },
    );
  }
  return new StreamError(
    "STORE_UNAVAILABLE",
    `The custom stream's function ${id} failed (${code}); the call may be made again later.`,
    { cause: error },
  );
}
