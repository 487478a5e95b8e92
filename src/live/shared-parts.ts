import { type SyncFrame, itemBytes } from "../core/frame.ts";
import { type GroupKey, groupKeyText } from "../core/names.ts";
import { RecentMap } from "../core/recent-map.ts";
import type { Head, SnapshotPage } from "../core/store.ts";

/** About how much is kept, in bytes. */
const MAX_BYTES = 8 * 1024 * 1024;

/** A part of a state: as the store gave it, and as all who read it get it. */
export interface SharedPart {
  readonly page: SnapshotPage;
  readonly frame: SyncFrame;
}

/**
 * The parts of snapshots that were read last. Many who read one large state at about the same time, as
 * they do after a disconnect, find each part here but the first of them: it is read and encoded once.
 * Nobody waits for anybody: who reads more slowly, or comes later, than what is kept reads for itself.
 */
export class SharedParts {
  #parts = newParts();
  #isUsed = false;

  /** The part of a state that begins after so many items. */
  find(group: GroupKey, head: Head, place: number): SharedPart | undefined {
    this.#isUsed = true;
    return this.#parts.get(keyOf(group, head, place));
  }

  /** Keeps a part for a while. */
  note(group: GroupKey, place: number, part: SharedPart): void {
    this.#parts.set(keyOf(group, part.page, place), part);
  }

  /** To be called about once a second: forgets everything when nobody has asked since the call before. */
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
function keyOf(group: GroupKey, { position, timestamp }: Head, place: number): string {
  const { epoch, revision } = position;
  return `${groupKeyText(group)}\u0000${epoch}\u0000${revision}\u0000${timestamp}\u0000${place}`;
}
