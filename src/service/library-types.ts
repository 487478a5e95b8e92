import type { ChangeEvent, Item as StoredItem } from "../core/change.ts";
import type { Frame } from "../core/frame.ts";
import type { OpError } from "../core/ops.ts";
import type { Cause } from "../core/lifetime.ts";
import type { Position } from "../core/position.ts";
import type { Json } from "../core/value.ts";
import type { OpenSubscription } from "./handlers.ts";
import type { SetResult as DomainSetResult, Repeatable } from "./requests.ts";

/* Types of the library: those of the domain, with plain JSON in place of values. */

/** An item as the library returns it, with plain JSON. */
export interface Item {
  readonly itemId: string;
  readonly data: Json;
  /** Revision of the change that last wrote it. */
  readonly revision: number;
  readonly createTime: Date;
  readonly updateTime: Date;
  /**
   * Author of the change that last wrote it: `user:<id>`, `key:<name>` or `function:<id>`; "" when
   * it has none. The id of a user has at most 256 bytes of UTF-8.
   */
  readonly author: string;
  /** When the service deletes it, unless a later write changes its lifetime. Undefined: never. */
  readonly expireTime?: Date | undefined;
}

/** How long the item of a write lives. */
export interface TimeToLiveMs {
  /**
   * Lifetime from now on, in whole milliseconds: 1,000 (1 s) to 315,360,000,000 (10 years). When it
   * has passed, the service deletes the item. Default: of a set, and of an update that creates the
   * item, that of the stream's settings, or none; other updates keep the lifetime of the item. Not
   * for custom streams.
   */
  readonly ttlMs?: number | undefined;
}

/** Result of a set. */
export interface SetResult extends Repeatable {
  /** Undefined when there was no item, or the result is deduplicated. */
  readonly oldValue: Json | undefined;
  /** Undefined when the result is deduplicated. */
  readonly newValue: Json | undefined;
  readonly created: boolean;
  readonly position: Position;
}

/** Result of an update. */
export interface UpdateResult extends SetResult {
  /** Steps that were skipped, and why. */
  readonly errors: readonly OpError[];
}

/** Result of a delete. Value and position are undefined when there was no item. */
export interface DeleteResult extends Repeatable {
  readonly oldValue: Json | undefined;
  readonly position: Position | undefined;
}

/** One step of an update, for example `{ type: "increment", path: "n", by: 1 }`. */
export type UpdateStep =
  | { readonly type: "set"; readonly path: string; readonly value?: Json }
  | {
      readonly type: "merge";
      readonly path?: string | readonly string[] | null;
      readonly value: Json;
    }
  | { readonly type: "increment" | "decrement"; readonly path: string; readonly by: number }
  | {
      readonly type: "append";
      readonly path?: string | readonly string[] | null;
      readonly value: Json;
    }
  | { readonly type: "remove"; readonly path: string };

/** One write of a batch. */
export type Mutation =
  | {
      readonly set: TimeToLiveMs & {
        readonly itemId: string;
        readonly data: Json;
        readonly expectedRevision?: number;
      };
    }
  | {
      readonly update: TimeToLiveMs & {
        readonly itemId: string;
        readonly ops: readonly UpdateStep[];
        readonly expectedRevision?: number;
      };
    }
  | { readonly delete: { readonly itemId: string; readonly expectedRevision?: number } };

/** Result of a batch. */
export interface BatchResult extends Repeatable {
  /** One per mutation, in order. */
  readonly results: readonly MutationResult[];
  /** Position of the group after the batch. */
  readonly position: Position;
}

/** Result of one write of a batch. Values are undefined unless `returnValues` is true. */
export interface MutationResult {
  readonly kind: "set" | "update" | "delete";
  readonly oldValue: Json | undefined;
  readonly newValue: Json | undefined;
  /** Position of the change; undefined for a delete of a missing item. */
  readonly position: Position | undefined;
  readonly errors: readonly OpError[];
}

/** A page of items, in creation order or from the newest. */
export interface ItemPage {
  readonly items: readonly Item[];
  readonly position: Position;
  readonly nextPageToken: string;
}

/** A change of one item. */
export interface Change {
  readonly kind: "change";
  readonly type: ChangeEvent["type"];
  readonly itemId: string;
  /** The value; of a delete the removed one. */
  readonly data: Json;
  readonly position: Position;
  /** Unix milliseconds, strictly increasing within the group. */
  readonly timestamp: number;
  /** As that of an item. */
  readonly author: string;
  /**
   * Why the service itself deleted the item: its lifetime has passed, the connection that it was
   * bound to is gone, or its group had too many. Undefined: a caller made the change.
   */
  readonly cause?: Cause | undefined;
}

/** A page of changes. */
export interface ChangePage {
  /** In revision order, or from the newest. May be empty although more follow. */
  readonly changes: readonly Change[];
  /** Position of the oldest change in the log; undefined when the log is empty. */
  readonly oldest: Position | undefined;
  /** Position of the group. */
  readonly head: Position;
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** The page of a listing to read. */
export interface PageOptions {
  /** Default 100, at most 1,000. */
  readonly pageSize?: number;
  /** `nextPageToken` of the page before. */
  readonly pageToken?: string;
}

/** A frame of a subscription: like `Frame` of the protocol, with plain JSON. */
export type StreamFrame =
  | {
      readonly kind: "sync";
      readonly items: readonly Item[];
      readonly position: Position;
      readonly first: boolean;
      readonly last: boolean;
      readonly timestamp: number;
      /** Of a subscription with a window: whether the group has older items. */
      readonly truncated?: boolean | undefined;
      /**
       * In the last part, when `truncated`: `pageToken` of a `list`, `descending`, of the older
       * items.
       */
      readonly olderPageToken?: string | undefined;
    }
  | (Change & { readonly ops?: undefined })
  | {
      readonly kind: "event";
      readonly type: string;
      readonly itemId: string | undefined;
      readonly data: Json;
      readonly timestamp: number;
      /** As that of an item. */
      readonly author: string;
    }
  | { readonly kind: "heartbeat"; readonly position: Position }
  | { readonly kind: "resumed"; readonly position: Position; readonly head: Position };

/** An update as its steps, for a subscription with `deltas`. */
export interface StreamDelta {
  readonly kind: "change";
  readonly type: "update";
  readonly itemId: string;
  readonly data?: undefined;
  /**
   * The steps that took effect: `applyOps`, with the item's value at `baseRevision`, gives its new
   * value.
   */
  readonly ops: readonly UpdateStep[];
  /** Revision of the item that the steps apply to. */
  readonly baseRevision: number;
  readonly position: Position;
  readonly timestamp: number;
  /** As that of an item. */
  readonly author: string;
}

/** What a subscription yields: steps in place of values only if it asked for deltas. */
export type StreamFrames<Deltas extends boolean = false> = AsyncIterableIterator<
  Deltas extends true ? StreamFrame | StreamDelta : StreamFrame,
  undefined
>;

/** The library form of a set or an update. */
export function plainWrite(done: DomainSetResult): SetResult {
  const { oldValue, newValue, created, position } = done;
  return {
    oldValue: oldValue?.json(),
    newValue: newValue?.json(),
    created,
    position,
    ...repetition(done),
  };
}

/** What a result says of a repetition: nothing, if it is none. */
export function repetition({ deduplicated }: Repeatable): Repeatable {
  return deduplicated === true ? { deduplicated } : {};
}

/** The library form of an item. */
export function plainItem({
  itemId,
  value,
  revision,
  createTimeMs,
  updateTimeMs,
  author,
  lifetime,
}: StoredItem): Item {
  const expireTimeMs = lifetime?.expireTimeMs;
  return {
    itemId,
    data: value.json(),
    revision,
    createTime: new Date(createTimeMs),
    updateTime: new Date(updateTimeMs),
    author,
    expireTime: expireTimeMs === undefined ? undefined : new Date(expireTimeMs),
  };
}

/** The library form of a change. */
export function plainChange({
  kind,
  type,
  itemId,
  value,
  position,
  timestamp,
  author,
  cause,
}: ChangeEvent): Change {
  return { kind, type, itemId, data: value.json(), position, timestamp, author, cause };
}

/** The library form of a frame. */
function plainFrame(frame: Frame): StreamFrame | StreamDelta {
  switch (frame.kind) {
    case "sync": {
      const { kind, items, position, first, last, timestamp } = frame;
      const plain = { kind, items: items.map(plainItem), position, first, last, timestamp };
      const { truncated, olderPageToken } = frame;
      return truncated === undefined ? plain : { ...plain, truncated, olderPageToken };
    }
    case "change":
      return plainChange(frame);
    case "delta": {
      const { itemId, delta, position, timestamp, author } = frame;
      const { baseRevision } = delta;
      const ops = JSON.parse(delta.text) as UpdateStep[];
      const type = "update";
      return { kind: "change", type, itemId, ops, baseRevision, position, timestamp, author };
    }
    case "event": {
      const { kind, type, itemId, value, timestamp, author } = frame;
      return { kind, type, itemId, data: value.json(), timestamp, author };
    }
    case "heartbeat":
    case "resumed":
      return frame;
  }
}

/** The library form of the frames of a subscription, which was opened with these `Deltas`. */
export function plainFrames<Deltas extends boolean>(
  subscription: Pick<OpenSubscription, typeof Symbol.asyncIterator>,
): StreamFrames<Deltas> {
  const frames = subscription[Symbol.asyncIterator]();
  const plain: StreamFrames<true> = {
    async next() {
      const result = await frames.next();
      return result.done === true ? result : { done: false, value: plainFrame(result.value) };
    },
    async return() {
      await frames.return();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
  return plain as StreamFrames<Deltas>;
}
