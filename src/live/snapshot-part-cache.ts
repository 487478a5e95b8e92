import { type SyncFrame, itemBytes } from "../core/frame.ts";
import { type GroupKey, groupKeyText } from "../core/names.ts";
import { RecentMap } from "../core/recent-map.ts";
import type { Head, SnapshotPage } from "../core/store.ts";

/** Approximate size of the cache, in bytes. */
const MAX_BYTES = 8 * 1024 * 1024;

/** A part of a state: the store's page, and the frame that all its readers get. */
export interface SharedPart {
  readonly page: SnapshotPage;
  readonly frame: SyncFrame;
}

/**
 * A cache of the snapshot parts that were read last. Of many subscribers that read one large state
 * at about the same time, as after a disconnect, the first reads and encodes each part, and the
 * others find it here. Readers never wait for one another: one that is too late for a part reads it
 * from the store.
 */
export class SnapshotPartCache {
  #parts = newParts();
  #isUsed = false;

  /**
   * The part of a state that begins after `place` items.
   *
   * @param window Size of the window; undefined: the state is whole.
   */
  find(
    group: GroupKey,
    window: number | undefined,
    head: Head,
    place: number,
  ): SharedPart | undefined {
    this.#isUsed = true;
    return this.#parts.get(keyOf(group, window, head, place));
  }

  /** Keeps a part for a while. */
  note(group: GroupKey, window: number | undefined, place: number, part: SharedPart): void {
    this.#parts.set(keyOf(group, window, part.page, place), part);
  }

  /**
   * To be called about once a second: forgets all parts when find() was not called since the last
   * call.
   */
  tidy(): void {
    if (!this.#isUsed) this.#parts = newParts();
    this.#isUsed = false;
  }
}

function newParts(): RecentMap<string, SharedPart> {
  return new RecentMap(MAX_BYTES, ({ page }) =>
    page.items.reduce((sum, item) => sum + itemBytes(item), 0),
  );
}

// Names and epochs hold no control characters.
function keyOf(
  group: GroupKey,
  window: number | undefined,
  { position, timestamp }: Head,
  place: number,
): string {
  const { epoch, revision } = position;
  const state = `${groupKeyText(group)}\u0000${epoch}\u0000${revision}\u0000${timestamp}`;
  return `${state}\u0000${window ?? ""}\u0000${place}`;
}
