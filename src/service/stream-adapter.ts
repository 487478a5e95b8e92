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
 * Reads and writes the values of a stream. The built-in store implements the methods that an
 * adapter leaves out, with the values written through the service.
 *
 * A write may return nothing: then it succeeded, with `data` as the new value and the result of
 * `get` just before as the old one. An adapter must not call the service for its own stream.
 */
export interface StreamAdapter {
  /** The value of an item; null or undefined when there is none. */
  get?(input: ItemOf): unknown;
  /** Stores `data`. May return `{old_value, new_value}`. */
  // oxlint-disable-next-line typescript/no-explicit-any -- writer and adapter agree on the values
  set?(input: ItemOf & { readonly data: any }): unknown;
  /**
   * Changes a value by steps in their JSON form. May return `{old_value, new_value}`; otherwise
   * `get` reads the new value. Without this method, updates read, reduce and set.
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
 * Registers the functions of a custom stream with `register`.
 *
 * @throws FunctionError, StreamError NAME_INVALID
 */
export async function adapterFunctions(
  streamName: string,
  adapter: StreamAdapter,
  register: (functionId: string, handler: Handler) => Promise<Registration>,
): Promise<Registration> {
  checkName("stream_name", streamName);
  // All at once: no call may see a partly custom stream.
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
