import { type Reason, StreamError } from "../core/errors.ts";
import { checkGroup, checkName } from "../core/names.ts";
import { checkOpCount } from "../core/op-json.ts";
import { opsText } from "../core/op-text.ts";
import type { Lifetime } from "../core/lifetime.ts";
import type { Firing } from "../core/outbox.ts";
import { customStreamUnsupported } from "../core/overrides.ts";
import { reduce } from "../core/reduce.ts";
import type { UpdateOp } from "../core/ops.ts";
import type { Commit, Committed, Mutation, MutationResult, Outcome, Store } from "../core/store.ts";
import type { GroupKey } from "../core/names.ts";
import { MAX_VALUE_BYTES, type Value } from "../core/value.ts";
import type { StreamSettings } from "../streams/stream-settings.ts";
import { checkStreamValue } from "../streams/value-limits.ts";
import {
  checkData,
  checkEventType,
  checkExpectations,
  checkItem,
  checkMutationCount,
  checkRevision,
  checkTtl,
  requestInvalid,
} from "./checks.ts";
import type { OnceOnly } from "./idempotency.ts";
import type {
  BatchMutation,
  BatchMutationResult,
  BatchRequest,
  BatchResult,
  Binding,
  DeleteRequest,
  DeleteResult,
  Expectations,
  SendRequest,
  SetRequest,
  SetResult,
  TimeToLive,
  UpdateRequest,
  UpdateResult,
} from "./requests.ts";

/**
 * Most bytes that a batch may return in values and in errors of steps. The response stays under 3.5
 * MiB, including the other fields of up to 1,000 results.
 */
const MAX_RETURN_BYTES = 3 * 1024 * 1024;
/** The part of it that is reserved for errors. */
const MAX_ERROR_BYTES_BESIDE_VALUES = 512 * 1024;

/** Dependencies of writes, besides the store. */
export interface WriteRules {
  /** The triggers that a change of an item, or an event about it, fires. */
  readonly firing: (group: GroupKey, itemId: string | undefined) => Firing | undefined;
  /** Whether a stream is custom: custom streams have no batches. */
  readonly isCustom: (streamName: string) => boolean;
  /** The settings of a stream. */
  readonly settingsOf: (streamName: string) => StreamSettings;
  /** Called after items of a stream with `maxItems` may have been created. */
  readonly onCreated: (group: GroupKey) => void;
}

/**
 * The calls that write, without a decision about rights. A write with `once` takes effect once,
 * however often it is made. @see Handlers
 */
export interface Writes {
  set(
    request: SetRequest,
    author?: string,
    once?: OnceOnly,
    connection?: string,
  ): Promise<SetResult>;
  update(
    request: UpdateRequest,
    author?: string,
    once?: OnceOnly,
    connection?: string,
  ): Promise<UpdateResult>;
  delete(request: DeleteRequest, author?: string, once?: OnceOnly): Promise<DeleteResult>;
  batch(request: BatchRequest, author?: string, once?: OnceOnly): Promise<BatchResult>;
  send(request: SendRequest, author?: string): Promise<void>;
}

/** Creates the calls that write. */
export function createWrites(
  store: Store,
  { firing, isCustom, settingsOf, onCreated }: WriteRules,
): Writes {
  /** Runs commits. Not async: most streams have no limit of items. */
  const run: Store["run"] = (group, commits) => {
    const running = store.run(group, commits);
    if (settingsOf(group.streamName).maxItems === undefined) return running;
    return running.finally(() => onCreated(group));
  };

  /** Lifetime of a stream's items by its settings. Custom streams have none. */
  const defaultTtlOf = (streamName: string) => {
    const { ttlMs } = settingsOf(streamName);
    // Few streams have one, and whether a stream is custom takes several look-ups.
    return ttlMs === undefined || isCustom(streamName) ? undefined : ttlMs;
  };

  /** Runs one commit of one mutation on behalf of a call that names an item. */
  const runOne = (
    group: GroupKey,
    request: Expectations,
    mutation: Mutation,
    author: string | undefined,
    once: OnceOnly | undefined,
  ): Promise<readonly Outcome[]> => {
    if (once !== undefined) checkKeys(store);
    if (once?.repeated !== undefined) return Promise.resolve([once.repeated]);
    const fires = firing(group, mutation.itemId);
    return run(group, [
      {
        mutations: [fires === undefined ? mutation : { ...mutation, fires }],
        expectedEpoch: request.expectedEpoch,
        author,
        idempotency: once?.idempotency,
      },
    ]);
  };

  return {
    async set(request, author, once, connection) {
      const { group, itemId } = checkItem(request);
      checkExpectations(request);
      const value = checkData(request.data);
      checkStreamValue(settingsOf(group.streamName), value, "data");
      const mutation: Mutation = {
        kind: "put",
        itemId,
        value,
        lifetime: lifetimeOf(request, connection, defaultTtlOf(group.streamName)),
        expectedRevision: request.expectedRevision,
      };
      const done = committed(await runOne(group, request, mutation, author, once));
      if (done.deduplicated === true) return repeatedWrite(done);
      const { oldValue, newValue = value } = done.results[0] as MutationResult;
      return { oldValue, newValue, created: oldValue === undefined, position: done.position };
    },

    async update(request, author, once, connection) {
      const { group, itemId } = checkItem(request);
      checkExpectations(request);
      const mutation: Mutation = {
        kind: "reduce",
        itemId,
        ...reducer(request.ops, "ops", settingsOf(group.streamName)),
        lifetime: lifetimeOf(request, connection),
        initialLifetime: lifetimeOf({}, undefined, defaultTtlOf(group.streamName)),
        expectedRevision: request.expectedRevision,
      };
      const done = committed(await runOne(group, request, mutation, author, once));
      if (done.deduplicated === true) return { ...repeatedWrite(done), errors: [] };
      const { oldValue, newValue, errors } = done.results[0] as MutationResult;
      return {
        oldValue,
        newValue,
        created: oldValue === undefined,
        position: done.position,
        errors,
      };
    },

    async delete(request, author, once) {
      const { group, itemId } = checkItem(request);
      checkExpectations(request);
      const mutation: Mutation = {
        kind: "delete",
        itemId,
        expectedRevision: request.expectedRevision,
      };
      const done = committed(await runOne(group, request, mutation, author, once));
      const { oldValue, revision } = done.results[0] as MutationResult;
      const position = revision === undefined ? undefined : done.position;
      return done.deduplicated === true
        ? { oldValue, position, deduplicated: true }
        : { oldValue, position };
    },

    async batch(request, author, once) {
      const group = checkGroup(request);
      checkExpectations({ expectedEpoch: request.expectedEpoch });
      const { mutations } = request;
      checkMutationCount(mutations.length);
      if (isCustom(group.streamName)) throw customStreamUnsupported();
      const settings = settingsOf(group.streamName);
      if (once !== undefined) checkKeys(store);
      const commit: Commit = {
        mutations: mutations.map((each, index) => {
          const mutation = toMutation(each, index, settings);
          return { ...mutation, fires: firing(group, mutation.itemId) };
        }),
        expectedEpoch: request.expectedEpoch,
        author,
        idempotency: once?.idempotency,
        ...(request.returnValues
          ? {
              maxReturnBytes: MAX_RETURN_BYTES - MAX_ERROR_BYTES_BESIDE_VALUES,
              maxErrorBytes: MAX_ERROR_BYTES_BESIDE_VALUES,
            }
          : { maxErrorBytes: MAX_RETURN_BYTES }),
      };
      const done = await runBatch({ run }, group, commit, once?.repeated);
      const results = mutations.map(({ kind }, i) =>
        toResult(kind, done.results[i] as MutationResult, done, request.returnValues),
      );
      const { position, deduplicated } = done;
      return deduplicated === true ? { results, position, deduplicated } : { results, position };
    },

    async send(request, author) {
      const group = checkGroup(request);
      const type = checkEventType(request.type);
      const itemId =
        request.itemId === undefined ? undefined : checkName("item_id", request.itemId);
      const value = checkData(request.data);
      await store.broadcast(group, { type, itemId, value, author, fires: firing(group, itemId) });
    },
  };
}

/**
 * The lifetime that a write asks for.
 *
 * @param connection Id of the connection that the item may be bound to; undefined: of none.
 * @param defaultTtlMs Lifetime without `ttl`; undefined: none.
 * @throws StreamError REQUEST_INVALID
 */
function lifetimeOf(
  { ttl, whileConnected }: TimeToLive & Binding,
  connection: string | undefined,
  defaultTtlMs?: number,
  field = "ttl",
): Lifetime | undefined {
  checkTtl(field, ttl);
  const ttlMs = ttl ?? defaultTtlMs;
  if (whileConnected !== true) return ttlMs === undefined ? undefined : { ttlMs };
  if (connection === undefined)
    throw requestInvalid(
      "while_connected",
      "while_connected is true, but the call has no connection to live as long as; it may be true in calls over a WebSocket that said hello.",
    );
  return { ttlMs, connection };
}

/** The outcome of a single commit. @throws StreamError when it was refused. */
function committed([outcome]: readonly Outcome[]): Committed {
  if (outcome === undefined) throw new StreamError("INTERNAL", "The store gave no outcome.");
  if (!outcome.ok) throw outcome.error;
  return outcome;
}

/** Checks that a store remembers idempotency keys. @throws StreamError REQUEST_INVALID */
function checkKeys(store: Store): void {
  if ("recall" in store) return;
  throw requestInvalid(
    "idempotency_key",
    "idempotency_key is present, but the store of this service does not remember keys; it may be absent.",
  );
}

/** The result of a set or an update that repeats an earlier one. */
function repeatedWrite({ results, position }: Committed): SetResult {
  const { oldValue, newValue, created = false } = results[0] as MutationResult;
  return { oldValue, newValue, created, position, deduplicated: true };
}

/**
 * Runs a commit whose errors name the mutation even when there is only one.
 *
 * @param repeated Its outcome, if it is known already.
 */
async function runBatch(
  store: Pick<Store, "run">,
  group: GroupKey,
  commit: Commit,
  repeated: Committed | undefined,
): Promise<Committed> {
  try {
    return committed(repeated === undefined ? await store.run(group, [commit]) : [repeated]);
  } catch (error) {
    const known = StreamError.from(error);
    const isOfOnlyOne = commit.mutations.length === 1 && OF_A_MUTATION.has(known.reason);
    throw isOfOnlyOne ? known.with({ index: "0" }) : known;
  }
}

/** Reasons of refusals that concern one mutation of a commit. */
const OF_A_MUTATION: ReadonlySet<Reason> = new Set([
  "REVISION_MISMATCH",
  "SCHEMA_MISMATCH",
  "VALUE_INVALID",
  "VALUE_TOO_DEEP",
  "VALUE_TOO_LARGE",
]);

/**
 * The reduce of these steps, with its size in memory. It refuses results that the settings of the
 * stream do not allow.
 *
 * @throws StreamError REQUEST_INVALID
 */
function reducer(ops: readonly UpdateOp[], field: string, settings: StreamSettings) {
  checkOpCount(ops.length, field);
  const bytes = ops.reduce((sum, op) => sum + OP_BYTES + ("value" in op ? op.value.size : 0), 0);
  return {
    reduce: (current: Value | undefined) => {
      const reduced = reduce(current, ops);
      checkStreamValue(settings, reduced.value, field, "the updated value");
      return reduced;
    },
    steps: () => opsText(ops),
    mayRefuse: settings.schema !== undefined || settings.maxValueBytes < MAX_VALUE_BYTES,
    bytes,
  };
}

/** Approximate memory of a step besides its value, in bytes. */
const OP_BYTES = 64;

function toMutation(mutation: BatchMutation, index: number, settings: StreamSettings): Mutation {
  const field = `mutations[${index}].${mutation.kind}`;
  try {
    const itemId = checkName(`${field}.item_id`, mutation.itemId);
    const { expectedRevision } = mutation;
    checkRevision(`${field}.expected_revision`, expectedRevision);
    switch (mutation.kind) {
      case "set": {
        const value = checkData(mutation.data, `${field}.data`);
        checkStreamValue(settings, value, `${field}.data`);
        const lifetime = lifetimeOf(mutation, undefined, settings.ttlMs, `${field}.ttl`);
        return { kind: "put", itemId, value, lifetime, expectedRevision };
      }
      case "update":
        return {
          kind: "reduce",
          itemId,
          ...reducer(mutation.ops, `${field}.ops`, settings),
          lifetime: lifetimeOf(mutation, undefined, undefined, `${field}.ttl`),
          initialLifetime: lifetimeOf({}, undefined, settings.ttlMs),
          expectedRevision,
        };
      case "delete":
        return { kind: "delete", itemId, expectedRevision };
    }
  } catch (error) {
    throw StreamError.from(error).with({ index: String(index) });
  }
}

function toResult(
  kind: BatchMutation["kind"],
  done: MutationResult,
  { position: last }: Committed,
  returnValues: boolean,
): BatchMutationResult {
  const position =
    done.revision === undefined ? undefined : { epoch: last.epoch, revision: done.revision };
  const oldValue = returnValues ? done.oldValue : undefined;
  if (kind === "delete") return { kind, result: { oldValue, position } };
  const newValue = returnValues ? done.newValue : undefined;
  const result = {
    oldValue,
    newValue,
    created: done.created ?? done.oldValue === undefined,
    position: position ?? last,
  };
  return kind === "set" ? { kind, result } : { kind, result: { ...result, errors: done.errors } };
}
