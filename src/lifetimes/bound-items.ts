import type { GroupKey } from "../core/names.ts";
import { type EndingOptions, endItems } from "./item-ends.ts";

/** Most items that are read and deleted at once. */
const MAX_AT_ONCE = 256;

/**
 * Deletes the items that are bound to a connection, because it is over.
 *
 * @param within The only groups that may have any, as far as the caller knows. Default: all.
 * @throws StreamError when the store failed; another call can delete the rest.
 */
export async function endBoundItems(
  connection: string,
  options: EndingOptions,
  within?: readonly GroupKey[],
): Promise<void> {
  const onlyIf = { connection };
  for (;;) {
    const items = await options.store.lifetimes.boundTo(connection, MAX_AT_ONCE, within);
    if (items.length === 0) return;
    const ending = items.map((item) => ({ ...item, onlyIf }));
    const count = await endItems(ending, "disconnected", options);
    if (items.length < MAX_AT_ONCE || count === 0) return;
  }
}
