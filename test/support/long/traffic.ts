import { setTimeout as sleep } from "node:timers/promises";
import { type MessageInitShape, fromJson, toJson } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  ChangeType,
  type Item,
  type Position as WirePosition,
  StreamService,
  type SubscribeResponse,
  type UpdateRequestSchema,
} from "millrace/v1";
import type { Position } from "../../../src/core/position.ts";
import {
  type HeldItems,
  type ItemInput,
  type Json,
  type MutationInput,
  type Recorder,
  type SubscriptionHandle,
  sealedValue,
} from "../checker/index.ts";
import { step } from "../doors/rpc-messages.ts";
import type { Random } from "../random.ts";
import type { RawSubscribe } from "./raw-subscribe.ts";

/* Clients of the long tests: they write, follow and list over gRPC, and record everything. */

export type Client = ReturnType<typeof connect>;

/** A client with a separate connection, by default without credentials. */
export function connect(url: string, authorization?: string) {
  const interceptor: Interceptor = (next) => (request) => {
    if (authorization !== undefined) request.header.set("authorization", authorization);
    return next(request);
  };
  const transport = createGrpcTransport({ baseUrl: url, interceptors: [interceptor] });
  return createClient(StreamService, transport);
}

/** Names of the items of a group. Items of updates hold no sealed value. */
export interface Items {
  readonly set: readonly string[];
  readonly updated: readonly string[];
}

/** Names of `count` items of each kind. */
export function itemNames(count: number): Items {
  const names = (prefix: string) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);
  return { set: names("s"), updated: names("u") };
}

/** Stream of all long tests. */
export const STREAM = "long";

/** The calls of a writer, single or over a write stream. */
export type Calls = Pick<Client, "set" | "update" | "delete" | "batch" | "send">;

/** The options of one writer. */
export interface WriterOptions {
  readonly calls: Calls;
  /** Whether its calls use a write stream. */
  readonly pipe?: boolean;
  readonly recorder: Recorder;
  readonly dice: Random;
  readonly groups: readonly string[];
  readonly items: Items;
  /** Unique over all writers. */
  readonly name: string;
  /**
   * Repeats a write that got no response, with its idempotency key, until it gets one. Absent: its
   * outcome is unknown.
   */
  readonly retry?:
    | {
        /** The calls of the next attempt. */
        readonly calls: () => Calls;
        /** Ends the attempts. */
        readonly signal: AbortSignal;
      }
    | undefined;
}

/** A writer of sets, updates, deletes, batches and sends, one per call of step(). */
export function createWriter(options: WriterOptions) {
  const { recorder, dice, groups, items, name, retry } = options;
  const pipe = options.pipe === true ? name : undefined;
  let count = 0;
  const nextTag = () => `${name}-${++count}`;
  const where = (groupId: string) => ({ streamName: STREAM, groupId });
  const keyed = () => (retry === undefined ? {} : { idempotencyKey: `${name}-${++count}` });
  const answered = async <T>(call: (calls: Calls) => Promise<T>): Promise<T> => {
    for (let { calls } = options; ;) {
      try {
        return await call(calls);
      } catch (error) {
        if (retry === undefined || retry.signal.aborted || isRefusal(error)) throw error;
        await sleep(20 + dice.below(30));
        calls = retry.calls();
      }
    }
  };

  const mutation = (): { input: MutationInput; message: MutationMessage } => {
    const kind = dice.below(10);
    if (kind < 2) {
      const item = dice.pick(items.set);
      return {
        input: { op: "delete", item },
        message: { case: "delete", value: { itemId: item } },
      };
    }
    const tag = nextTag();
    if (kind < 4) {
      const item = dice.pick(items.updated);
      const value = fromJson(ValueSchema, { tag });
      const ops = [
        { op: { case: "merge" as const, value: { path: [], value } } },
        { op: { case: "increment" as const, value: { path: "n", by: 1n } } },
        appendText(`${tag} `),
      ];
      return {
        input: { op: "update", item, tag },
        message: { case: "update", value: { itemId: item, ops } },
      };
    }
    const item = dice.pick(items.set);
    const value = sealedValue(tag, dice.below(300));
    const data = fromJson(ValueSchema, value);
    return {
      input: { op: "set", item, value },
      message: { case: "set", value: { itemId: item, data } },
    };
  };

  const perform = async (groupId: string, message: MutationMessage, calls: Calls, key: object) => {
    if (message.case === "delete") {
      const request = { ...where(groupId), ...message.value, ...key };
      const { oldValue, position, deduplicated } = await calls.delete(request);
      return { position: plain(position), results: [deduplicated ? {} : { old: old(oldValue) }] };
    }
    const done =
      message.case === "set"
        ? await calls.set({ ...where(groupId), ...message.value, ...key })
        : await calls.update({ ...where(groupId), ...message.value, ...key });
    const { created, position } = done;
    // The response to a repeated write has no values.
    const values = done.deduplicated
      ? {}
      : { old: old(done.oldValue), new: { value: json(done.newValue) } };
    return { position: plain(position), results: [{ created, ...values }] };
  };

  return {
    /** One call. Resolves when it has succeeded or failed; never rejects. */
    async step(): Promise<void> {
      const group = dice.pick(groups);
      const kind = dice.below(20);
      if (kind === 0) return send(group);
      if (kind < 3) return batch(group);
      const { input, message } = mutation();
      const handle = recorder.write({ group, mutations: [input], pipe });
      const key = keyed();
      try {
        handle.acked(await answered((calls) => perform(group, message, calls, key)));
      } catch (error) {
        failed(handle, error);
      }
    },
  };

  async function batch(group: string): Promise<void> {
    const all = Array.from({ length: 2 + dice.below(4) }, mutation);
    const handle = recorder.write({
      group,
      mutations: all.map(({ input }) => input),
      batch: true,
      pipe,
    });
    try {
      const mutations = all.map(({ message }) => ({ mutation: message }));
      const request = { ...where(group), mutations, ...keyed() };
      const { results, position } = await answered((calls) => calls.batch(request));
      handle.acked({
        position: plain(position),
        results: results.map(({ result }) => ({ position: plain(result.value?.position) })),
      });
    } catch (error) {
      failed(handle, error);
    }
  }

  async function send(group: string): Promise<void> {
    const value = nextTag();
    const handle = recorder.send({ group, event: "note", value });
    try {
      await options.calls.send({
        ...where(group),
        type: "note",
        data: fromJson(ValueSchema, value),
      });
      handle.acked();
    } catch (error) {
      failed(handle, error);
    }
  }
}

/** A step that appends to the text of an item. */
export function appendText(text: string) {
  const value = fromJson(ValueSchema, text);
  return { op: { case: "append" as const, value: { path: ["text"], value } } };
}

type Ops = NonNullable<MessageInitShape<typeof UpdateRequestSchema>["ops"]>;
type MutationMessage =
  | { case: "set"; value: { itemId: string; data: Value } }
  | { case: "update"; value: { itemId: string; ops: Ops } }
  | { case: "delete"; value: { itemId: string } };

function failed(
  handle: { refused(reason: string): void; unknown(reason?: string): void },
  error: unknown,
): void {
  const { code, rawMessage } = ConnectError.from(error);
  if (isRefusal(error)) handle.refused(`${Code[code]}: ${rawMessage}`);
  else handle.unknown(`${Code[code]}: ${rawMessage}`);
}

function isRefusal(error: unknown): boolean {
  const { code, details } = ConnectError.from(error);
  // Without a reason of the service, the call may have taken effect and lost its response: clients
  // also create codes themselves, such as Aborted.
  return (code === Code.InvalidArgument || code === Code.Aborted) && details.length > 0;
}

/** The options of a follower. */
export interface FollowOptions {
  readonly subscribe: Client["subscribe"] | RawSubscribe;
  readonly recorder: Recorder;
  readonly group: string;
  readonly item?: string | undefined;
  readonly resumeFrom?: Position | undefined;
  readonly slow?: boolean | undefined;
  readonly resumeOptional?: boolean | undefined;
  /** Asks for deltas: the items that it holds, also those of the attempt that it resumes. */
  readonly deltas?: HeldItems | undefined;
  /** Asks for snapshots of only the newest items, this many. */
  readonly window?: number | undefined;
  readonly signal: AbortSignal;
  /** Called after each frame; the next one is not read before it resolves. */
  readonly onFrame?: ((position: Position | undefined) => Promise<void> | void) | undefined;
}

/**
 * Follows once, until the stream ends or the signal aborts, recording every frame.
 *
 * @returns The last position from which to resume.
 */
export async function follow(options: FollowOptions): Promise<Position | undefined> {
  const { subscribe, recorder, signal, onFrame, ...intent } = options;
  const { group, item, resumeFrom, deltas, window } = intent;
  const handle = recorder.subscribe(intent);
  let position = resumeFrom;
  const request = {
    streamName: STREAM,
    groupId: group,
    deltas: deltas !== undefined,
    ...(window === undefined ? {} : { window }),
    ...(item === undefined ? {} : { itemId: item }),
    ...(resumeFrom === undefined
      ? {}
      : { resumeFrom: { epoch: resumeFrom.epoch, revision: BigInt(resumeFrom.revision) } }),
  };
  try {
    for await (const response of subscribe(request, { signal })) {
      const reached = record(handle, response);
      position = reached ?? position;
      await onFrame?.(reached);
    }
    handle.end("server", { reason: "ended without an error" });
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    if (signal.aborted) handle.end("client");
    else if (
      code === Code.Unavailable ||
      code === Code.Aborted ||
      code === Code.Canceled ||
      code === Code.Unknown
    ) {
      handle.end("cut", { code: Code[code], reason: rawMessage });
    } else handle.end("server", { code: Code[code], reason: rawMessage });
  }
  return position;
}

/** Records a frame. @returns the position from which a client can resume after it. */
function record(handle: SubscriptionHandle, { frame }: SubscribeResponse): Position | undefined {
  switch (frame.case) {
    case "sync": {
      const { first, last, timestamp } = frame.value;
      const position = required(frame.value.position);
      handle.sync({
        items: frame.value.items.map(itemInput),
        position,
        first,
        last,
        timestamp: Number(timestamp),
      });
      return last ? position : undefined;
    }
    case "change": {
      const { type, itemId: item, data, ops, baseRevision } = frame.value;
      const position = required(frame.value.position);
      const timestamp = Number(frame.value.timestamp);
      const change = CHANGES[type];
      if (change === undefined) throw new Error(`a change of type ${type}`);
      if (baseRevision === 0n)
        handle.change({ change, item, value: json(data), position, timestamp });
      else {
        if (change !== "update" || data !== undefined) throw new Error(`steps of a ${change}`);
        const base = { baseRevision: Number(baseRevision), position, timestamp };
        handle.delta({ item, ops: ops.map(step), ...base });
      }
      return position;
    }
    case "event": {
      const { type, itemId, data, timestamp } = frame.value;
      handle.event({ event: type, item: itemId, value: json(data), timestamp: Number(timestamp) });
      return undefined;
    }
    case "heartbeat": {
      const position = required(frame.value.position);
      handle.heartbeat(position);
      return position;
    }
    case "resumed":
      handle.resumed(required(frame.value.position), required(frame.value.head));
      return undefined;
    case undefined:
      return undefined;
  }
}

const CHANGES: Partial<Record<ChangeType, "create" | "update" | "delete">> = {
  [ChangeType.CREATE]: "create",
  [ChangeType.UPDATE]: "update",
  [ChangeType.DELETE]: "delete",
};

/** An item for the recorder. */
export function itemInput({ itemId, data, revision }: Item): ItemInput {
  return { item: itemId, value: json(data), revision: Number(revision) };
}

/** The JSON of a required value. */
export function json(value: Value | undefined): Json {
  if (value === undefined) throw new Error("a value is missing");
  return toJson(ValueSchema, value);
}

function old(value: Value | undefined): { value: Json } | "none" {
  return value === undefined ? "none" : { value: json(value) };
}

/** A position without its message. */
export function plain(position: WirePosition | undefined): Position | undefined {
  return position === undefined
    ? undefined
    : { epoch: position.epoch, revision: Number(position.revision) };
}

/** A required position. */
export function required(position: WirePosition | undefined): Position {
  const given = plain(position);
  if (given === undefined) throw new Error("a position is missing");
  return given;
}
