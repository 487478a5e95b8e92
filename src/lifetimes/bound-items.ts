import { type EndingOptions, endItems } from "./item-ends.ts";

/** Most items that are read and deleted at once. */
const MAX_AT_ONCE = 256;

/**
 * Deletes the items that are bound to a connection, because it is gone.
 *
 * @throws StreamError when the store failed; those that are left can be deleted by another call.
 */
export async function endBoundItems(connection: string, options: EndingOptions): Promise<void> {
  for (;;) {
    const items = await options.store.lifetimes.boundTo(connection, MAX_AT_ONCE);
    if (items.length === 0) return;
    const count = await endItems(items, "disconnected", options);
    if (items.length < MAX_AT_ONCE || count === 0) return;
  }
}
