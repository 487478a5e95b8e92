/**
 * Publishes figures: one item per figure, and one Batch per tick, so that subscribers receive all
 * figures of a tick together, and never half of them.
 */
import { call } from "./connect-json.mjs";
import { GROUP, STREAM } from "./target.mjs";

/** Page size of the listing: far more than there are figures. */
const PAGE_SIZE = 1000;

/**
 * Creates a publisher. Items of figures that no longer exist (such as a removed interface) are
 * deleted with the next tick.
 *
 * @param {string} url Of the service.
 * @param {AbortSignal} stop
 * @returns {Promise<(figures: readonly import("./meter.mjs").Figure[], at: Date) => Promise<void>>}
 */
export async function createPublisher(url, stop) {
  const group = { streamName: STREAM, groupId: GROUP };
  const listed = await call(url, "List", { ...group, pageSize: PAGE_SIZE }, stop);
  /** @type {{ itemId: string }[]} */
  const items = listed.items ?? [];
  let present = new Set(items.map(({ itemId }) => itemId));
  return async (figures, at) => {
    const mutations = mutationsOf(figures, at, present);
    await call(url, "Batch", { ...group, mutations }, stop);
    present = new Set(figures.map(({ id }) => id));
  };
}

/**
 * The changes of one tick.
 *
 * @param {readonly import("./meter.mjs").Figure[]} figures
 * @param {Date} at
 * @param {ReadonlySet<string>} present Items that the group holds.
 * @returns {object[]} Mutations of a Batch, as proto JSON.
 */
export function mutationsOf(figures, at, present) {
  const gone = new Set(present);
  for (const { id } of figures) gone.delete(id);
  return [
    // The id is in the value too, because some existing browser clients expect it there.
    ...figures.map((figure) => ({
      set: { itemId: figure.id, data: { ...figure, at: at.toISOString() } },
    })),
    ...[...gone].map((itemId) => ({ delete: { itemId } })),
  ];
}
