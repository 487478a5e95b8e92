import { checkName } from "../core/names.ts";
import { OVERRIDES, type Override, overrideId } from "../core/overrides.ts";
import type { Handler } from "../functions/handler.ts";
import type { EndOfRegistration, Registration } from "../functions/provider.ts";

interface Group {
  readonly stream_name: string;
  readonly group_id: string;
}

interface ItemOf extends Group {
  readonly item_id: string;
}

/**
 * Reads and writes the values of a stream. What an adapter leaves out, the built-in store does, with
 * what it has seen written.
 *
 * An adapter may return nothing from a write: then it succeeded, with `data` as the new value and what
 * `get` gave just before as the old one. It must not call the service about its own stream.
 */
export interface StreamAdapter {
  /** The value of an item; null, or nothing: there is none. */
  get?(input: ItemOf): unknown;
  /** Stores `data`. May return `{old_value, new_value}`. */
  // oxlint-disable-next-line typescript/no-explicit-any -- what values hold is between writer and adapter
  set?(input: ItemOf & { readonly data: any }): unknown;
  /**
   * Changes a value by steps in their JSON form. May return `{old_value, new_value}`. When it does not
   * say so, `get` is asked for the new value. Without it, updates read, reduce and set.
   */
  update?(input: ItemOf & { readonly ops: readonly unknown[] }): unknown;
  /** Removes an item. May return `{old_value}`. */
  delete?(input: ItemOf): unknown;
  /** The values of all items of a group. */
  list?(input: Group): unknown;
  /** Ids of all groups. */
  listGroups?(input: { readonly stream_name: string }): unknown;
}

const METHODS: Readonly<Record<Override, keyof StreamAdapter>> = {
  get: "get",
  set: "set",
  delete: "delete",
  list: "list",
  list_groups: "listGroups",
  update: "update",
};

/**
 * Registers the functions of a custom stream, by `register`.
 *
 * @throws FunctionError, StreamError NAME_INVALID
 */
export async function adapterFunctions(
  streamName: string,
  adapter: StreamAdapter,
  register: (functionId: string, handler: Handler) => Promise<Registration>,
): Promise<Registration> {
  checkName("stream_name", streamName);
  // All at once: no call may find a stream that is custom in part.
  const attempts = await Promise.allSettled(
    OVERRIDES.flatMap((override) => {
      const handler = adapter[METHODS[override]]?.bind(adapter) as Handler | undefined;
      return handler === undefined ? [] : [register(overrideId(override, streamName), handler)];
    }),
  );
  const registrations = attempts.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
  const unregister = async (how?: EndOfRegistration) => {
    await Promise.all(registrations.map((registration) => registration.unregister(how)));
  };
  const failed = attempts.find((each) => each.status === "rejected");
  if (failed !== undefined) {
    await unregister();
    throw failed.reason;
  }
  return { unregister };
}
