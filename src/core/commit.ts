import { NO_AUTHOR } from "./author.ts";
import type { ChangeEvent, Item } from "./change.ts";
import { Delta } from "./delta.ts";
import { StreamError } from "./errors.ts";
import { FewMap } from "./few-map.ts";
import { nextTimestamp } from "./group-clock.ts";
import { rememberedOf, repetitionOf } from "./idempotency.ts";
import type { Idempotency, Remembered } from "./idempotency-key.ts";
import { type ItemLifetime, changedLifetime, lifetimeFrom } from "./lifetime.ts";
import type { Commit, Committed, Head, ItemCondition, Mutation, MutationResult } from "./store.ts";
import type { OpError, UpdateOp } from "./ops.ts";
import type { Fired } from "./outbox.ts";
import { utf8Length } from "./text.ts";
import type { Value } from "./value.ts";

/** Last revision a group can reach. */
const MAX_REVISION = Number.MAX_SAFE_INTEGER;

/** More than an error of a step takes beside code and message in any wire form. */
const ERROR_OVERHEAD_BYTES = 64;

/** An item with its place in the group's creation order. */
export interface StoredItem {
  readonly item: Item;
  /** Revision of the change that created it: listings are in this order. */
  readonly createdRevision: number;
}

/** What a commit does to one item. */
export interface ItemWrite {
  readonly before: StoredItem | undefined;
  /** Undefined: the item was deleted. A new `createdRevision`: it moved to the end. */
  readonly after: StoredItem | undefined;
}

/** Inputs of the decision: the group's state, the clock and the source of epochs. */
export interface CommitContext {
  /** Where the group stands before the commit. */
  readonly head: Head;
  /** The group's items before the commit. */
  readonly lookup: (itemId: string) => StoredItem | undefined;
  /**
   * What the group remembers under an idempotency key, within the window. Asked only for a commit
   * that has one.
   */
  readonly recall: (idempotency: Idempotency) => Remembered | undefined;
  /** Wall clock, Unix milliseconds. */
  readonly nowMs: number;
  /**
   * The timestamps of its changes are later than this and than the group's last. @see GroupClock
   */
  readonly floor: number;
  /** Generates an epoch. Called when the group was never written, or was forgotten. */
  readonly newEpoch: () => string;
}

/** Outcome of the decision. */
export type Decision = Accepted | { readonly ok: false; readonly error: StreamError };

/** The commit takes effect: the store applies all of this in one step. */
export interface Accepted {
  readonly ok: true;
  readonly head: Head;
  /** The outcome for the caller. */
  readonly outcome: Committed;
  /**
   * What to remember under the commit's idempotency key, in the same step. Undefined: it has none, or
   * repeats an earlier commit.
   */
  readonly remember: Remembered | undefined;
  /** New changes, in order. */
  readonly changes: readonly ChangeEvent[];
  /** The changes that fire triggers, in order. */
  readonly fired: readonly Fired[];
  /** The new state of every written item, by item id. */
  readonly writes: Iterable<readonly [itemId: string, write: ItemWrite]>;
}

/**
 * Decides what a commit does to a group. It only reads through the context; an error that a
 * mutation throws refuses the commit. Every expectation is checked against the group as it was
 * before the commit, and each mutation sees the ones before it. A repetition of an earlier commit is
 * accepted and does nothing, whatever it expects.
 */
export function decideCommit(commit: Commit, context: CommitContext): Decision {
  try {
    const { idempotency } = commit;
    const known = idempotency === undefined ? undefined : context.recall(idempotency);
    if (idempotency !== undefined && known !== undefined)
      return nothing(context.head, repetitionOf(idempotency, known));
    checkExpectations(commit, context);
    return new Working(commit, context).run();
  } catch (error) {
    return { ok: false, error: StreamError.from(error) };
  }
}

/** A decision that changes nothing. */
function nothing(head: Head, outcome: Committed): Accepted {
  return { ok: true, head, outcome, remember: undefined, changes: [], fired: [], writes: [] };
}

function checkExpectations(commit: Commit, context: CommitContext): void {
  const epoch = context.head.position.epoch;
  if (commit.expectedEpoch !== undefined && commit.expectedEpoch !== epoch)
    throw epochMismatch(epoch);
  commit.mutations.forEach((mutation, index) => {
    const expected = mutation.expectedRevision;
    if (expected === undefined) return;
    const current = context.lookup(mutation.itemId)?.item.revision ?? 0;
    if (current !== expected) throw revisionMismatch(commit, index, current);
  });
}

/** The refusal of a commit that expects another epoch than the group has. */
export function epochMismatch(current: string): StreamError {
  return new StreamError(
    "EPOCH_MISMATCH",
    `expected_epoch is not the epoch of the group; it may be "${current}" or absent.`,
    { metadata: { current_epoch: current } },
  );
}

/** The refusal of a commit in which a mutation expects another revision than its item has. */
export function revisionMismatch(commit: Commit, index: number, current: number): StreamError {
  const expected = commit.mutations[index]?.expectedRevision;
  return new StreamError(
    "REVISION_MISMATCH",
    `expected_revision is ${expected}, but ${current === 0 ? "the item does not exist" : `the item is at revision ${current}`}; ` +
      `it may be ${current}${current === 0 ? " (must not exist)" : ""} or absent.`,
    { metadata: { current_revision: String(current), ...indexOf(commit, index) } },
  );
}

/** The refusal of a commit for which the group has no revisions left. */
export function revisionsUsedUp(): StreamError {
  return new StreamError(
    "INTERNAL",
    `The group has used up its revisions; it may have up to ${MAX_REVISION}.`,
  );
}

/** Errors name the mutation only when the commit has several. */
function indexOf(commit: Commit, index: number): Record<string, string> {
  return commit.mutations.length > 1 ? { index: String(index) } : {};
}

/** The value after a mutation; undefined when no item is left. */
function valueAfter(
  mutation: Mutation,
  oldValue: Value | undefined,
): {
  readonly value: Value | undefined;
  readonly errors: readonly OpError[];
  readonly effective?: readonly UpdateOp[] | undefined;
} {
  switch (mutation.kind) {
    case "put":
      return { value: mutation.value, errors: [] };
    case "reduce":
      return mutation.reduce(oldValue);
    case "delete":
      return { value: undefined, errors: [] };
    case "record":
      return { value: mutation.after, errors: mutation.errors ?? [] };
  }
}

function deltaOf(
  mutation: Mutation,
  value: Value,
  effective: readonly UpdateOp[] | undefined,
  current: StoredItem | undefined,
): Delta | undefined {
  if (current === undefined) return undefined;
  const { revision } = current.item;
  if (mutation.kind === "record")
    return mutation.delta?.baseRevision === revision ? mutation.delta : undefined;
  return effective && Delta.smallerThan(value, revision, effective);
}

/** Whether a write gives an item a lifetime, or a part of one. */
export function asksForLifetime(mutation: Mutation): boolean {
  switch (mutation.kind) {
    case "put":
      return mutation.lifetime !== undefined;
    case "reduce":
      return mutation.lifetime !== undefined || mutation.initialLifetime !== undefined;
    default:
      return false;
  }
}

/** The lifetime of an item after a write. */
function lifetimeAfter(
  mutation: Mutation,
  current: ItemLifetime | undefined,
  type: "create" | "update",
  nowMs: number,
): ItemLifetime | undefined {
  if (mutation.kind === "put") return lifetimeFrom(mutation.lifetime, nowMs);
  if (mutation.kind !== "reduce") return current;
  const before = type === "create" ? lifetimeFrom(mutation.initialLifetime, nowMs) : current;
  return changedLifetime(before, mutation.lifetime, nowMs);
}

/** Whether an item is as the service read it. */
function isMet(condition: ItemCondition | undefined, current: StoredItem | undefined): boolean {
  if (condition === undefined) return true;
  if (current === undefined) return false;
  const { revision, lifetime } = current.item;
  return (
    (condition.revision ?? revision) === revision &&
    current.createdRevision <= (condition.maxCreatedRevision ?? Infinity) &&
    (condition.expireTimeMs ?? lifetime?.expireTimeMs) === lifetime?.expireTimeMs &&
    (condition.connection ?? lifetime?.connection) === lifetime?.connection
  );
}

class Working {
  readonly #commit: Commit;
  readonly #context: CommitContext;
  readonly #author: string;
  #epoch: string;
  #revision: number;
  #timestamp: number;
  #returnBytes = 0;
  #errorBytes = 0;
  readonly #changes: ChangeEvent[] = [];
  readonly #fired: Fired[] = [];
  /** Usually one. */
  readonly #writes = new FewMap<string, ItemWrite>();

  constructor(commit: Commit, context: CommitContext) {
    this.#commit = commit;
    this.#context = context;
    this.#author = commit.author ?? NO_AUTHOR;
    this.#epoch = context.head.position.epoch;
    this.#revision = context.head.position.revision;
    this.#timestamp = context.head.timestamp;
  }

  run(): Accepted {
    const results = this.#commit.mutations.map((mutation, index) => {
      try {
        return this.#apply(mutation);
      } catch (error) {
        throw StreamError.from(error).with(indexOf(this.#commit, index));
      }
    });
    const position = { epoch: this.#epoch, revision: this.#revision };
    const { idempotency } = this.#commit;
    return {
      ok: true,
      head: { position, timestamp: this.#timestamp },
      outcome: { ok: true, position, results },
      remember:
        idempotency === undefined ? undefined : rememberedOf(idempotency, position, results),
      changes: this.#changes,
      fired: this.#fired,
      writes: this.#writes,
    };
  }

  #apply(mutation: Mutation): MutationResult {
    const { itemId } = mutation;
    const written = this.#writes.get(itemId);
    const current = written === undefined ? this.#context.lookup(itemId) : written.after;
    const oldValue = mutation.kind === "record" ? mutation.before : current?.item.value;
    if (mutation.kind === "delete" && !isMet(mutation.onlyIf, current))
      return { revision: undefined, oldValue: undefined, newValue: undefined, errors: [] };
    const { value, errors, effective } = valueAfter(mutation, oldValue);
    if (value === undefined) {
      if (oldValue === undefined) return { revision: undefined, oldValue, newValue: value, errors };
      this.#countReturned(oldValue, undefined);
      const event = this.#change("delete", mutation, oldValue);
      this.#write(itemId, written, current, undefined);
      return { revision: event.position.revision, oldValue, newValue: value, errors };
    }
    this.#countReturned(oldValue, value);
    this.#countErrors(errors);
    const type = oldValue === undefined ? "create" : "update";
    const delta = type === "update" ? deltaOf(mutation, value, effective, current) : undefined;
    const event = this.#change(type, mutation, value, delta);
    const revision = event.position.revision;
    const { nowMs } = this.#context;
    this.#write(itemId, written, current, {
      item: {
        itemId,
        value,
        revision,
        createTimeMs: current?.item.createTimeMs ?? nowMs,
        updateTimeMs: nowMs,
        author: this.#author,
        lifetime: lifetimeAfter(mutation, current?.item.lifetime, type, nowMs),
      },
      createdRevision: current?.createdRevision ?? revision,
    });
    return { revision, oldValue, newValue: value, errors };
  }

  #change(type: ChangeEvent["type"], mutation: Mutation, value: Value, delta?: Delta): ChangeEvent {
    const { itemId, fires } = mutation;
    if (this.#revision >= MAX_REVISION) throw revisionsUsedUp();
    if (this.#epoch === "") this.#epoch = this.#context.newEpoch();
    this.#revision += 1;
    this.#timestamp = nextTimestamp(this.#timestamp, this.#context.nowMs, this.#context.floor);
    const event: ChangeEvent = {
      kind: "change",
      type,
      itemId,
      value,
      position: { epoch: this.#epoch, revision: this.#revision },
      timestamp: this.#timestamp,
      timeMs: this.#context.nowMs,
      author: this.#author,
      delta,
      cause: mutation.kind === "delete" ? mutation.cause : undefined,
    };
    this.#changes.push(event);
    // Triggers get whole values: an outbox need not keep the steps.
    if (fires !== undefined)
      this.#fired.push({
        event: delta === undefined ? event : { ...event, delta: undefined },
        firing: fires,
      });
    return event;
  }

  #write(
    itemId: string,
    written: ItemWrite | undefined,
    current: StoredItem | undefined,
    after: StoredItem | undefined,
  ): void {
    this.#writes.set(itemId, { before: written === undefined ? current : written.before, after });
  }

  #countReturned(oldValue: Value | undefined, newValue: Value | undefined): void {
    const max = this.#commit.maxReturnBytes;
    if (max === undefined) return;
    this.#returnBytes += (oldValue?.size ?? 0) + (newValue?.size ?? 0);
    if (this.#returnBytes <= max) return;
    throw new StreamError(
      "RESPONSE_TOO_LARGE",
      `The old and new values have more than ${max} bytes together and do not fit into one response; nothing was changed. ` +
        `return_values may be true when they fit.`,
    );
  }

  #countErrors(errors: readonly OpError[]): void {
    const max = this.#commit.maxErrorBytes;
    if (max === undefined) return;
    for (const { code, message } of errors)
      this.#errorBytes += ERROR_OVERHEAD_BYTES + utf8Length(code) + utf8Length(message);
    if (this.#errorBytes <= max) return;
    throw new StreamError(
      "RESPONSE_TOO_LARGE",
      `The errors of the operations have more than ${max} bytes together and do not fit into one response; nothing was changed. ` +
        `ops may have fewer that fail.`,
    );
  }
}
