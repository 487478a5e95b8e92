import type { ChangeEvent, Item, TransientEvent } from "../core/change.ts";
import { StreamError } from "../core/errors.ts";
import {
  type Frame,
  type HeartbeatFrame,
  type ResumedFrame,
  type SyncFrame,
  frameBytes,
} from "../core/frame.ts";
import type { GroupKey } from "../core/names.ts";
import type { Position } from "../core/position.ts";
import type { Store } from "../core/store.ts";
import { type Interest, interestIn } from "./interest.ts";
import { type StateReader, readGroup, readItems } from "./state-reader.ts";
import type { Subscription } from "./subscription.ts";

/** One of those who share a subscription. Identity counts, so one object is one member. */
export interface Member {
  /** Follows this item; undefined: the whole group. */
  readonly itemId: string | undefined;
}

/** What is to be sent: to one member, or once for all whom the event concerns. */
export type SharedFrame<M extends Member> =
  | { readonly to: M; readonly frame: SyncFrame | ResumedFrame | HeartbeatFrame }
  | { readonly to: undefined; readonly frame: ChangeEvent | TransientEvent };

/** How a member joins. */
export interface JoinOptions {
  /** Honoured only for the first member: to a later one its snapshot is the answer. */
  readonly resumeFrom?: Position | undefined;
  /** Most bytes that a snapshot beside the others may have. */
  readonly maxStateBytes?: number | undefined;
}

/** A member who joined while others follow: it gets its own snapshot, at its place between their frames. */
interface Insertion<M extends Member> {
  readonly member: M;
  readonly parts: readonly SyncFrame[];
  readonly position: Position;
  readonly timestamp: number;
}

/**
 * One subscription to a group, shared by several members with one cursor: what a socket needs whose
 * subscriptions overlap. Each event comes once, however many members it concerns, and events of the
 * group keep their order over all members.
 *
 * The first member opens the subscription. A later one gets a snapshot of its own at a position P: the
 * frames up to P go out first, for the others; then the snapshot; then what comes after P, for all. So
 * its snapshot is at or after everything that was sent before.
 */
export class SharedSubscription<M extends Member> implements Interest {
  readonly #subscribe: (
    interest: Interest,
    resumeFrom: Position | undefined,
  ) => Promise<Subscription>;
  #subscription: Subscription | undefined;
  readonly #members = new Set<M>();
  /** Members who had their snapshot, or were resumed. */
  readonly #active = new Set<M>();
  /** How many members want each item, and the whole group. */
  readonly #items = new Map<string, number>();
  #whole = 0;
  /** Members that the snapshot being read serves, with the item found for those who follow one. */
  #syncing = new Map<M, Item | undefined>();
  /** In the order of their positions. */
  #insertions: Insertion<M>[] = [];
  /** A frame that was read but has to wait for an insertion. */
  #heldBack: Frame | undefined;
  #out: SharedFrame<M>[] = [];
  #lastJoin: Promise<unknown> = Promise.resolve();
  #onReadable: (() => void) | undefined;
  #onEnd: (() => void) | undefined;
  /** The subscription that will call when it is readable. */
  #listeningTo: Subscription | undefined;
  #closed = false;

  /** @param subscribe Opens the subscription of the group. */
  constructor(
    subscribe: (interest: Interest, resumeFrom: Position | undefined) => Promise<Subscription>,
  ) {
    this.#subscribe = subscribe;
  }

  /** Why the service ended it; undefined while it goes on. */
  get error(): StreamError | undefined {
    return this.#subscription?.error;
  }

  /**
   * Adds a member. Resolves when its first frame is there to be read; joins wait for one another.
   *
   * @throws StreamError when the state cannot be read, or SNAPSHOT_TOO_LARGE.
   */
  join(member: M, options: JoinOptions = {}): Promise<void> {
    const join = this.#lastJoin.then(() => this.#join(member, options));
    this.#lastJoin = join.catch(() => {});
    return join;
  }

  /** Removes a member. The last one to go ends the subscription; a later join opens it anew. */
  leave(member: M): void {
    if (!this.#members.delete(member)) return;
    this.#active.delete(member);
    this.#syncing.delete(member);
    this.#insertions = this.#insertions.filter((insertion) => insertion.member !== member);
    this.#out = this.#out.filter(({ to }) => to !== member);
    this.#count(member, -1);
    if (this.#members.size > 0) return;
    this.#subscription?.close();
    this.#subscription = undefined;
    this.#heldBack = undefined;
    this.#out = [];
  }

  /** Takes the next frame; undefined when there is none now. */
  read(): SharedFrame<M> | undefined {
    for (;;) {
      const next = this.#out.shift();
      if (next !== undefined) return next;
      const frame = this.#heldBack ?? this.#subscription?.read();
      this.#heldBack = undefined;
      const [insertion] = this.#insertions;
      if (insertion !== undefined && this.#isDue(insertion, frame)) {
        this.#heldBack = frame;
        this.#insert(insertion);
      } else if (frame === undefined) return undefined;
      else this.#distribute(frame);
    }
  }

  /** Asks to be called, once, when read() may give a frame again, or it has ended. */
  onReadable(callback: () => void): void {
    this.#onReadable = callback;
    const subscription = this.#subscription;
    if (subscription === undefined || this.#listeningTo === subscription) return;
    this.#listeningTo = subscription;
    subscription.onReadable(() => {
      this.#listeningTo = undefined;
      this.#wake();
    });
  }

  /** Asks to be called when the service ends it. `error` then says why. */
  onEnd(callback: () => void): void {
    this.#onEnd = callback;
  }

  /** Ends it for all members. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const member of Array.from(this.#members)) this.leave(member);
    this.#wake();
  }

  /** @see Interest */
  matches(itemId: string | undefined): boolean {
    return this.#whole > 0 || (itemId !== undefined && this.#items.has(itemId));
  }

  /** @see Interest */
  readState(store: Store, group: GroupKey): StateReader {
    this.#syncing = new Map(Array.from(this.#members, (member) => [member, undefined]));
    if (this.#whole > 0) return readGroup(store, group);
    return readItems(store, group, Array.from(this.#items.keys()));
  }

  async #join(member: M, { resumeFrom, maxStateBytes = Infinity }: JoinOptions): Promise<void> {
    if (this.#closed) throw new StreamError("SHUTTING_DOWN", "The connection is closing.");
    this.#members.add(member);
    this.#count(member, 1);
    try {
      const subscription = this.#subscription;
      if (subscription === undefined) await this.#open(resumeFrom);
      else await this.#joinBeside(subscription, member, maxStateBytes);
    } catch (error) {
      this.leave(member);
      throw error;
    }
  }

  async #open(resumeFrom: Position | undefined): Promise<void> {
    const subscription = await this.#subscribe(this, resumeFrom);
    if (this.#members.size === 0) return subscription.close();
    this.#subscription = subscription;
    subscription.onEnd(() => {
      if (subscription.error !== undefined) this.#onEnd?.();
    });
    this.#wake();
  }

  async #joinBeside(subscription: Subscription, member: M, maxBytes: number): Promise<void> {
    const parts = await readAll(subscription.readState(interestIn(member.itemId)), maxBytes);
    // It left meanwhile, or a fresh snapshot for all served it.
    if (!this.#members.has(member) || this.#active.has(member)) return;
    const { position, timestamp } = parts[0] as SyncFrame;
    this.#insertions.push({ member, parts, position, timestamp });
    subscription.onCursor(position.revision, () => this.#wake());
  }

  /** Whether everything up to the insertion's position went out. */
  #isDue({ position, timestamp }: Insertion<M>, next: Frame | undefined): boolean {
    if (next === undefined) {
      const cursor = this.#subscription?.cursor;
      return (
        cursor !== undefined &&
        cursor.epoch === position.epoch &&
        cursor.revision >= position.revision
      );
    }
    switch (next.kind) {
      case "change":
      case "heartbeat":
        return next.position.epoch === position.epoch || position.epoch === ""
          ? next.position.revision > position.revision
          : false;
      case "event":
        return next.timestamp > timestamp;
      case "sync":
      case "resumed":
        return false;
    }
  }

  #insert({ member, parts }: Insertion<M>): void {
    this.#insertions.shift();
    this.#active.add(member);
    for (const frame of parts) this.#out.push({ to: member, frame });
  }

  #distribute(frame: Frame): void {
    switch (frame.kind) {
      case "sync":
        return this.#distributeSync(frame);
      case "resumed":
      case "heartbeat":
        // Only the first member can be resumed, and it is the only one then.
        if (frame.kind === "resumed") for (const member of this.#members) this.#active.add(member);
        for (const to of this.#active) this.#out.push({ to, frame });
        return;
      case "change":
      case "event":
        for (const { itemId } of this.#active) {
          if (itemId !== undefined && itemId !== frame.itemId) continue;
          this.#out.push({ to: undefined, frame });
          return;
        }
    }
  }

  /** A snapshot for all: each member gets what it follows of it. It makes insertions needless. */
  #distributeSync(frame: SyncFrame): void {
    for (const [member] of this.#syncing) {
      if (frame.first) this.#active.add(member);
      if (member.itemId === undefined) this.#out.push({ to: member, frame });
      else this.#distributeItem(member, frame);
    }
    if (frame.first)
      this.#insertions = this.#insertions.filter(({ member }) => !this.#syncing.has(member));
  }

  #distributeItem(member: M, frame: SyncFrame): void {
    const found = frame.items.find(({ itemId }) => itemId === member.itemId);
    if (found !== undefined) this.#syncing.set(member, found);
    if (!frame.last) return;
    const item = this.#syncing.get(member);
    const items = item === undefined ? [] : [item];
    this.#out.push({ to: member, frame: { ...frame, items, first: true, last: true } });
  }

  #count({ itemId }: M, by: 1 | -1): void {
    if (itemId === undefined) this.#whole += by;
    else {
      const count = (this.#items.get(itemId) ?? 0) + by;
      if (count > 0) this.#items.set(itemId, count);
      else this.#items.delete(itemId);
    }
  }

  #wake(): void {
    const callback = this.#onReadable;
    this.#onReadable = undefined;
    callback?.();
  }
}

async function readAll(state: StateReader, maxBytes: number): Promise<readonly SyncFrame[]> {
  const parts: SyncFrame[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const part = await state.next();
      bytes += frameBytes(part);
      if (bytes > maxBytes) throw snapshotTooLarge(maxBytes);
      parts.push(part);
      if (part.last) return parts;
    }
  } finally {
    state.close();
  }
}

/** The refusal of a snapshot that is over the bounds of its receiver. */
export function snapshotTooLarge(maxBytes: number): StreamError {
  return new StreamError(
    "SNAPSHOT_TOO_LARGE",
    `The snapshot has more than ${maxBytes} bytes; ask for it in parts, or follow single items.`,
  );
}
