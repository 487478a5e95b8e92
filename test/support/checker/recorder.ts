import type { Position } from "../../../src/core/position.ts";
import type { HeldItems } from "./held-items.ts";
import type {
  Frame,
  HistoryRecord,
  ListPage,
  MutationRecord,
  MutationResultRecord,
  SnapshotItem,
} from "./history.ts";
import type { RecordSink } from "./sink.ts";
import { DEFAULT_MAX_CHARS, type Json, valueText } from "./value-text.ts";

/**
 * Records what one client does and sees.
 *
 * Call these methods before a request is sent, and the methods of the handles right after something
 * has arrived: each appends one record to the sink before it returns, with the current time. Values
 * are given as JSON and kept as text.
 */
export interface Recorder {
  /** A Set, Update, Delete or Batch is about to be sent. */
  write(intent: WriteIntent): WriteHandle;
  /** A Send is about to be sent. */
  send(intent: {
    group: string;
    event: string;
    item?: string | undefined;
    value: Json;
  }): OutcomeHandle;
  /** A Subscribe is about to be sent. */
  subscribe(attempt: SubscribeIntent): SubscriptionHandle;
  /** A List, or its first page, is about to be requested. */
  list(group: string, options?: { final?: boolean }): ListHandle;
  /** A Get is about to be sent. */
  get(group: string, item: string): GetHandle;
}

/** A write, as its caller makes it. */
export interface WriteIntent {
  readonly group: string;
  readonly mutations: readonly MutationInput[];
  readonly batch?: boolean | undefined;
  readonly pipe?: string | undefined;
}

/** One mutation. An update names the first-level member `tag` of its result, if any. */
export type MutationInput =
  | { op: "set"; item: string; value: Json; expectedRevision?: number | undefined }
  | { op: "update"; item: string; tag?: string | undefined; expectedRevision?: number | undefined }
  | { op: "delete"; item: string; expectedRevision?: number | undefined };

/** The content of an acknowledgement. For a single write, `results` has one entry, or none. */
export interface Acknowledgement {
  readonly position?: Position | undefined;
  readonly results?: readonly ResultInput[] | undefined;
}

/** The result of one mutation in an acknowledgement. */
export interface ResultInput {
  readonly position?: Position | undefined;
  readonly created?: boolean | undefined;
  /** `"none"`: the response carries values and there was no item. Absent: it carries no values. */
  readonly old?: { readonly value: Json } | "none" | undefined;
  readonly new?: { readonly value: Json } | undefined;
}

/** Records the outcome of a call. Call one method, once; a call without an outcome is unknown. */
export interface OutcomeHandle {
  acked(): void;
  refused(reason: string): void;
  unknown(reason?: string): void;
}

/** Records the outcome of a write. */
export interface WriteHandle extends Omit<OutcomeHandle, "acked"> {
  acked(acknowledgement: Acknowledgement): void;
}

/** An attempt to subscribe. The subscriber is by default the recorder's client. */
export interface SubscribeIntent {
  readonly group: string;
  readonly item?: string | undefined;
  readonly resumeFrom?: Position | undefined;
  readonly subscriber?: string | undefined;
  readonly slow?: boolean | undefined;
  readonly resumeOptional?: boolean | undefined;
  /**
   * Asks for deltas: the items that the client holds. An attempt that resumes continues with those
   * of the attempt before.
   */
  readonly deltas?: HeldItems | undefined;
  /** Its snapshots have only the newest items, this many. */
  readonly window?: number | undefined;
}

/** Records what an attempt receives. */
export interface SubscriptionHandle {
  /** Name of the attempt in the history. */
  readonly subscription: string;
  sync(frame: {
    items: readonly ItemInput[];
    position: Position;
    first: boolean;
    last: boolean;
    timestamp: number;
  }): void;
  change(frame: {
    change: "create" | "update" | "delete";
    item: string;
    value: Json;
    position: Position;
    timestamp: number;
  }): void;
  /** An update that came as steps. */
  delta(frame: {
    item: string;
    ops: readonly unknown[];
    baseRevision: number;
    position: Position;
    timestamp: number;
  }): void;
  event(frame: { event: string; item?: string | undefined; value: Json; timestamp: number }): void;
  heartbeat(position: Position): void;
  resumed(position: Position, head: Position): void;
  /** The service has answered a call that ended it. */
  revoked(): void;
  end(by: "server" | "cut" | "client", details?: { code?: string; reason?: string }): void;
}

/** An item in a snapshot. `revision` is absent on doors that do not report it. */
export interface ItemInput {
  readonly item: string;
  readonly value: Json;
  readonly revision?: number | undefined;
}

/**
 * Records the pages of a List. Do not call `done` for a listing that failed: it is not recorded.
 */
export interface ListHandle {
  page(items: readonly ItemInput[], position: Position): void;
  done(): void;
}

/** Records the response to a Get. */
export interface GetHandle {
  found(value: Json, revision: number): void;
  missing(): void;
}

/**
 * Creates a recorder.
 *
 * @param options.client Names the client; unique over all recorders of a history.
 * @param options.now Milliseconds of the shared monotonic clock.
 * @param options.maxValueChars Longer values are kept as digests. The same for all recorders of a
 *   history.
 */
export function createRecorder(options: {
  client: string;
  sink: RecordSink;
  now?: () => number;
  maxValueChars?: number;
}): Recorder {
  const { client, sink, now = monotonicMs, maxValueChars = DEFAULT_MAX_CHARS } = options;
  let count = 0;
  const nextId = () => `${client}:${++count}`;
  const text = (value: Json) => valueText(value, maxValueChars);
  const put = (record: HistoryRecord) => sink.append(record);
  const snapshot = (items: readonly ItemInput[]) => items.map((item) => snapshotItem(item, text));

  const outcomes = (id: string) => ({
    refused: (reason: string) => put({ kind: "outcome", t: now(), id, outcome: "refused", reason }),
    unknown: (reason?: string) =>
      put({ kind: "outcome", t: now(), id, outcome: "unknown", ...given({ reason }) }),
  });

  return {
    write({ group, mutations, batch, pipe }) {
      const id = nextId();
      const records = mutations.map((mutation) => mutationRecord(mutation, text));
      put({
        kind: "write",
        t: now(),
        id,
        client,
        group,
        mutations: records,
        ...given({ batch, pipe }),
      });
      return {
        ...outcomes(id),
        acked({ position, results }) {
          const t = now();
          const mutationResults = results?.map((result) => resultRecord(result, text));
          put({
            kind: "outcome",
            t,
            id,
            outcome: "acked",
            ...given({ position, results: mutationResults }),
          });
        },
      };
    },
    send({ group, event, item, value }) {
      const id = nextId();
      put({
        kind: "send",
        t: now(),
        id,
        client,
        group,
        event,
        value: text(value),
        ...given({ item }),
      });
      return {
        ...outcomes(id),
        acked: () => put({ kind: "outcome", t: now(), id, outcome: "acked" }),
      };
    },
    subscribe({
      group,
      subscriber = client,
      item,
      resumeFrom,
      slow,
      resumeOptional,
      deltas: held,
      window,
    }) {
      const subscription = nextId();
      const deltas = held === undefined ? undefined : true;
      const details = given({ item, resumeFrom, slow, resumeOptional, deltas, window });
      put({ kind: "subscribe", t: now(), subscription, subscriber, group, ...details });
      const frame = (t: number, received: Frame) =>
        put({ kind: "frame", t, subscription, frame: received });
      return {
        subscription,
        sync({ items, ...rest }) {
          frame(now(), { type: "sync", ...rest, items: snapshot(items) });
          held?.takeSync({ items, ...rest });
        },
        change({ value, ...rest }) {
          frame(now(), { type: "change", ...rest, value: text(value) });
          held?.takeChange({ value, ...rest });
        },
        delta(delta) {
          const t = now();
          const { item, position, timestamp, baseRevision } = delta;
          const before = held?.get(item);
          const value = held?.takeDelta(delta);
          const base = { baseRevision, ...given({ held: before?.revision, bare: before?.bare }) };
          const shown = given({ value: value === undefined ? undefined : text(value) });
          frame(t, {
            ...{ type: "change", change: "update", item, ...shown, position, timestamp },
            delta: base,
          });
        },
        event: ({ event, item: about, value, timestamp }) =>
          frame(now(), {
            type: "event",
            event,
            value: text(value),
            timestamp,
            ...given({ item: about }),
          }),
        heartbeat: (position) => frame(now(), { type: "heartbeat", position }),
        resumed: (position, head) => frame(now(), { type: "resumed", position, head }),
        revoked: () => put({ kind: "revoked", t: now(), subscription }),
        end: (by, { code, reason } = {}) =>
          put({ kind: "end", t: now(), subscription, by, ...given({ code, reason }) }),
      };
    },
    list(group, { final } = {}) {
      const t = now();
      const pages: ListPage[] = [];
      return {
        page: (items, position) => void pages.push({ t: now(), position, items: snapshot(items) }),
        done: () => put({ kind: "list", t, client, group, pages, ...given({ final }) }),
      };
    },
    get(group, item) {
      const t = now();
      return {
        found: (value, revision) =>
          put({
            kind: "get",
            t,
            end: now(),
            client,
            group,
            item,
            found: { value: text(value), revision },
          }),
        missing: () => put({ kind: "get", t, end: now(), client, group, item }),
      };
    },
  };
}

/** The machine's monotonic clock in milliseconds, to the microsecond: the same in all processes. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The members that are not undefined, so that a record in memory equals one read from a file. */
function given<T extends object>(members: T): Given<T> {
  return Object.fromEntries(
    Object.entries(members).filter(([, member]) => member !== undefined),
  ) as Given<T>;
}

function snapshotItem(
  { item, value, revision }: ItemInput,
  text: (value: Json) => string,
): SnapshotItem {
  return { item, value: text(value), ...given({ revision }) };
}

function mutationRecord(mutation: MutationInput, text: (value: Json) => string): MutationRecord {
  const { op, item, expectedRevision } = mutation;
  const value = mutation.op === "set" ? text(mutation.value) : undefined;
  const tag = mutation.op === "update" ? mutation.tag : undefined;
  return { op, item, ...given({ value, tag, expectedRevision }) };
}

function resultRecord(result: ResultInput, text: (value: Json) => string): MutationResultRecord {
  const oldValue = result.old === "none" ? null : result.old && text(result.old.value);
  const newValue = result.new && text(result.new.value);
  return given({ position: result.position, created: result.created, oldValue, newValue });
}
