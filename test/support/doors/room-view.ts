import type { Item, ItemPage, StreamFrame } from "millrace";

type Change = Extract<StreamFrame, { kind: "change" }>;

/**
 * What a client shows of a group that it opens at its end: the items of a window, older pages that it
 * loads, and every change. It follows the rules for clients in docs/protocol.md.
 */
export class RoomView {
  /** The items, in creation order. */
  items = new Map<string, Pick<Item, "data" | "revision">>();
  /** Revision of the group up to which it has the changes. */
  revision = 0;
  /** The token of the next older page; empty when there is none, undefined before the snapshot. */
  olderPageToken: string | undefined;
  /** Changes since the page that is being loaded was requested. */
  #recent: Change[] | undefined;

  /** Takes a frame of the subscription. */
  take(frame: StreamFrame): void {
    if (frame.kind === "sync") {
      if (frame.first) this.items.clear();
      for (const { itemId, data, revision } of frame.items)
        this.items.set(itemId, { data, revision });
      this.revision = frame.position.revision;
      if (frame.last) this.olderPageToken = frame.olderPageToken ?? "";
    } else if (frame.kind === "change") {
      this.#recent?.push(frame);
      this.#apply(frame);
      this.revision = frame.position.revision;
    }
  }

  /** Loads the next older page. @param read Reads the page of a token. */
  async loadOlder(read: (pageToken: string) => Promise<ItemPage>): Promise<void> {
    this.#recent = [];
    const page = await read(this.olderPageToken ?? "");
    const recent = this.#recent;
    this.#recent = undefined;
    const older = new Map<string, Pick<Item, "data" | "revision">>();
    for (const { itemId, data, revision } of page.items.toReversed()) {
      const later = recent.filter(
        (change) => change.itemId === itemId && change.position.revision > page.position.revision,
      );
      const isDeleted = later.some(({ type }) => type === "delete");
      const updated = later.at(-1);
      if (isDeleted) continue;
      if (this.items.has(itemId)) throw new Error(`the page repeats ${itemId}`);
      if (updated === undefined) older.set(itemId, { data, revision });
      else older.set(itemId, { data: updated.data, revision: updated.position.revision });
    }
    this.items = new Map([...older, ...this.items]);
    this.olderPageToken = page.nextPageToken;
  }

  #apply({ type, itemId, data, position }: Change): void {
    const known = this.items.get(itemId);
    if (type === "create") {
      if (known !== undefined) throw new Error(`${itemId} is created twice`);
      this.items.set(itemId, { data, revision: position.revision });
      return;
    }
    // An item that it has not loaded, or loaded from a page that is ahead of the subscription.
    if (known === undefined || known.revision >= position.revision) return;
    if (type === "delete") this.items.delete(itemId);
    else this.items.set(itemId, { data, revision: position.revision });
  }
}
