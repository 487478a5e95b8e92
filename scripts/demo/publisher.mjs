/**
 * Publishes figures: one item per figure, and each tick one Batch, so that whoever watches gets all
 * figures of a tick back to back, and nobody ever sees half of them.
 */
import { call } from "./connect-json.mjs";
import { GROUP, STREAM } from "./target.mjs";

/** Figures are few; a machine with more items than this in the group has other worries. */
const PAGE_SIZE = 1000;

/**
 * Makes a publisher. What the group holds of figures that there are no more (an interface that is
 * gone) leaves it with the next tick.
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
    // The id is in the value too, because some existing browser clients look for it there.
    ...figures.map((figure) => ({
      set: { itemId: figure.id, data: { ...figure, at: at.toISOString() } },
    })),
    ...[...gone].map((itemId) => ({ delete: { itemId } })),
  ];
}
