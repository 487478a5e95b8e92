import { decideCommit, type StoredItem } from "../../core/commit.ts";
import type { Delta } from "../../core/delta.ts";
import { StreamError } from "../../core/errors.ts";
import { keyIdOf } from "../../core/idempotency.ts";
import type { Lifetime } from "../../core/lifetime.ts";
import type { Remembered } from "../../core/idempotency-key.ts";
import type {
  Broadcast,
  Commit,
  Head,
  Mutation,
  MutationResult,
  Outcome,
} from "../../core/store.ts";
import {
  type Entry,
  type Guards,
  type KeysPlace,
  type PlainMutation,
  isPlain,
  writeGroup,
} from "./batch-args.ts";
import { unpackHead, unpackItem, textOf } from "./encoding.ts";
import { outcomeOf, unpackRemembered } from "./outcomes.ts";

/** A queued call: commits of one group, or a transient event. */
export interface GroupWrite {
  readonly groupText: string;
  readonly work: readonly Commit[] | Broadcast;
  /** When it was received, by performance.now(). */
  readonly sinceMs: number;
  readonly bytes: number;
  /** Number of mutations. */
  readonly mutations: number;
  /** The fleet's agreed state when it was received. @see WriterContext.agreed */
  readonly agreed: number;
  resolve(outcomes: readonly Outcome[]): void;
  reject(error: StreamError): void;
}

/** Most bytes of values that one commit may write: it is one command for the server. */
const MAX_COMMIT_BYTES = 64 * 1024 * 1024;

/** Items of a group that were read together. */
interface Known {
  readonly head: Head;
  readonly items: ReadonlyMap<string, StoredItem | undefined>;
  /** What is remembered under the ids of its idempotency keys, read in the same step. */
  readonly remembered: ReadonlyMap<string, Remembered | undefined>;
}

/** A commit decided in this process: the mutations for the script, or none. */
interface Decided {
  /** The outcome of a commit that is not passed to the script: it was refused, or is a repetition. */
  readonly outcome: Outcome | undefined;
  readonly mutations: readonly PlainMutation[];
  readonly results: readonly MutationResult[];
}

/** A batch's operations on one group. */
export class GroupBatch {
  readonly text: string;
  #jobs: GroupWrite[] = [];
  readonly #newEpoch: string;
  #known: Known | undefined;
  #decided: readonly Decided[] = [];
  /** Items that the script checks. */
  #guarded: readonly string[] = [];

  /** @param newEpoch The epoch of the group if it has none yet. */
  constructor(text: string, newEpoch: string) {
    this.text = text;
    this.#newEpoch = newEpoch;
  }

  /** Whether it has no calls left. */
  get isEmpty(): boolean {
    return this.#jobs.length === 0;
  }

  /** Number of calls. */
  get jobCount(): number {
    return this.#jobs.length;
  }

  /** When its first call was received. */
  get sinceMs(): number {
    return this.#jobs[0]?.sinceMs ?? Infinity;
  }

  /** Bytes of the values that it writes. */
  get bytes(): number {
    let bytes = this.#jobs.reduce((sum, job) => sum + job.bytes, 0);
    for (const { mutations } of this.#decided) bytes += valueBytes(mutations);
    return bytes;
  }

  /** Appends a call. */
  add(job: GroupWrite): void {
    this.#jobs.push(job);
    this.#decided = [];
  }

  /** Rejects calls received before a time, each with the given error, if there is one. */
  failOlderThan(ms: number, error: (job: GroupWrite) => StreamError | undefined): void {
    this.#jobs = this.#jobs.filter((job) => {
      const failure = job.sinceMs < ms ? error(job) : undefined;
      if (failure !== undefined) job.reject(failure);
      return failure === undefined;
    });
    this.#decided = [];
  }

  /** Splits it into one work per call. */
  split(newEpoch: () => string): readonly GroupBatch[] {
    return this.#jobs.map((job) => {
      const single = new GroupBatch(this.text, newEpoch());
      single.add(job);
      return single;
    });
  }

  /** Items to read before it can be written; none when the script can run it on its own. */
  get unread(): readonly string[] {
    if (this.#commits().every(isPlain)) {
      this.#known = undefined;
      return [];
    }
    const touched = this.#touched();
    const known = this.#known;
    const isKnown =
      known !== undefined &&
      touched.every((id) => known.items.has(id)) &&
      this.keyIds.every((id) => known.remembered.has(id));
    return isKnown ? [] : touched;
  }

  /** Whether some of its commits have an idempotency key. */
  get isKeyed(): boolean {
    return this.#commits().some(({ idempotency }) => idempotency !== undefined);
  }

  /** Ids of the idempotency keys of its commits. */
  get keyIds(): readonly string[] {
    const ids: string[] = [];
    for (const { idempotency } of this.#commits())
      if (idempotency !== undefined) ids.push(keyIdOf(idempotency));
    return ids;
  }

  /**
   * Takes what the get script read for `unread`.
   *
   * @param remembered What it read for `keyIds`.
   */
  take(
    lineage: unknown,
    head: unknown,
    records: readonly unknown[],
    remembered: readonly unknown[],
  ): void {
    this.#know(lineage, head, this.#touched(), records, remembered);
  }

  /** Decides the commits that the script cannot decide, using the items read. */
  decide(): void {
    this.#decided = this.#known === undefined ? [] : this.#decide(this.#known);
  }

  /**
   * Writes its arguments for the commit script. After `decide`.
   *
   * @returns Whether there is anything to do.
   */
  write(args: string[], keys: KeysPlace): boolean {
    if (this.#known === undefined) {
      writeGroup(args, this.text, this.#newEpoch, undefined, this.#entries(), keys);
      return true;
    }
    const entries = this.#entries();
    if (entries.length === 0) return false;
    writeGroup(args, this.text, this.#newEpoch, guardsOf(this.#known), entries, keys);
    this.#guarded = Array.from(this.#known.items.keys());
    return true;
  }

  /**
   * Takes its part of the script's reply, and settles its jobs.
   *
   * @returns false when another writer was faster, or the group has to be repaired first: it has to
   *   be decided and written again.
   */
  finish(reply: unknown, lineage: unknown): boolean {
    const [status, second, third] = reply as [number, unknown, unknown];
    if (needsRepair(reply)) return false;
    if (status === 1) {
      // What is remembered by now has to be read, in one step with the items.
      if (this.isKeyed) this.#known = undefined;
      else this.#know(lineage, second, this.#guarded, third as unknown[], []);
      return false;
    }
    const epoch = textOf(second);
    const replies = (reply as unknown[][]).slice(2);
    let next = 0;
    let commit = 0;
    for (const job of this.#jobs) {
      if (!Array.isArray(job.work)) {
        next++;
        job.resolve([]);
        continue;
      }
      const outcomes = (job.work as readonly Commit[]).map((each): Outcome => {
        const decided = this.#decided[commit++];
        if (decided?.outcome !== undefined) return decided.outcome;
        return outcomeOf(each, decided?.results, replies[next++] ?? [], epoch);
      });
      job.resolve(outcomes);
    }
    return true;
  }

  /** Settles its jobs when there was nothing to do. */
  finishUndone(): void {
    this.finish([0, ""], "");
  }

  /** Rejects its jobs. */
  fail(error: StreamError): void {
    for (const job of this.#jobs) job.reject(error);
  }

  #commits(): readonly Commit[] {
    return this.#jobs.flatMap(({ work }) =>
      Array.isArray(work) ? (work as readonly Commit[]) : [],
    );
  }

  #touched(): readonly string[] {
    const ids = this.#commits().flatMap(({ mutations }) => mutations.map(({ itemId }) => itemId));
    return Array.from(new Set(ids));
  }

  #know(
    lineage: unknown,
    head: unknown,
    itemIds: readonly string[],
    records: readonly unknown[],
    remembered: readonly unknown[],
  ): void {
    const isKeyed = remembered.length > 0;
    this.#known = {
      head: unpackHead(head, lineage),
      items: new Map(itemIds.map((id, i) => [id, unpackItem(id, records[i])])),
      remembered: isKeyed
        ? new Map(this.keyIds.map((id, i) => [id, unpackRemembered(remembered[i])]))
        : NOTHING_REMEMBERED,
    };
  }

  /** Decides all commits using the items read: each sees those before it. */
  #decide(known: Known): readonly Decided[] {
    let { head } = known;
    const items = new Map(known.items);
    /** By the commits before, whose revisions only the script knows. */
    const remembered = new Map<string, Remembered>();
    return this.#commits().map((commit): Decided => {
      const keyId = commit.idempotency && keyIdOf(commit.idempotency);
      const decision = decideCommit(commit, {
        head,
        lookup: (itemId) => items.get(itemId),
        recall: () => known.remembered.get(keyId ?? "") ?? remembered.get(keyId ?? ""),
        // The script sets the times; these are not used.
        nowMs: 0,
        floor: 0,
        newEpoch: () => this.#newEpoch,
      });
      if (!decision.ok) return settled({ ok: false, error: decision.error });
      const { results, deduplicated } = decision.outcome;
      if (deduplicated === true) {
        const isEarlier = remembered.has(keyId ?? "");
        return isEarlier ? REPETITION : settled(decision.outcome);
      }
      const { revision: before } = head.position;
      const mutations = commit.mutations.map((each, i) => {
        const change = decision.changes[(results[i]?.revision ?? 0) - before - 1];
        return plainOf(each, results[i], change?.delta);
      });
      if (valueBytes(mutations) > MAX_COMMIT_BYTES) return settled({ ok: false, error: tooMuch() });
      if (keyId !== undefined && decision.remember !== undefined)
        remembered.set(keyId, decision.remember);
      head = decision.head;
      for (const [itemId, { after }] of decision.writes) items.set(itemId, after);
      return { outcome: undefined, mutations, results };
    });
  }

  #entries(): readonly Entry[] {
    const entries: Entry[] = [];
    let commit = 0;
    for (const { work } of this.#jobs) {
      if (!Array.isArray(work)) {
        entries.push({ kind: "broadcast", message: work as Broadcast });
        continue;
      }
      for (const each of work as readonly Commit[]) {
        const decided = this.#decided[commit++];
        if (decided === undefined && isPlain(each)) entries.push({ kind: "commit", commit: each });
        if (decided === undefined || decided.outcome !== undefined) continue;
        const { mutations } = decided;
        const { author, idempotency } = each;
        entries.push({
          kind: "commit",
          commit: { mutations, expectedEpoch: undefined, author, idempotency },
        });
      }
    }
    return entries;
  }
}

/** Whether the script did nothing, since the keys of the group have to be compared first. */
export function needsRepair(reply: unknown): boolean {
  return (reply as readonly unknown[])[0] === 2;
}

const NOTHING_REMEMBERED: ReadonlyMap<string, undefined> = new Map<string, undefined>();

/** A commit that the script does not see. */
function settled(outcome: Outcome): Decided {
  return { outcome, mutations: [], results: [] };
}

/** The repetition of a commit of the same batch: the script finds out what it did. */
const REPETITION: Decided = Object.freeze({ outcome: undefined, mutations: [], results: [] });

/** Bytes of the values that mutations write. */
function valueBytes(mutations: readonly PlainMutation[]): number {
  let bytes = 0;
  for (const mutation of mutations) if (mutation.kind === "put") bytes += mutation.value.size;
  return bytes;
}

function tooMuch(): StreamError {
  return new StreamError(
    "VALUE_TOO_LARGE",
    `The values that the batch would write have more than ${MAX_COMMIT_BYTES} bytes together; it may be split into several.`,
  );
}

/** The script's form of a mutation that was decided here. Its expectation held. */
function plainOf(
  mutation: Mutation,
  result: MutationResult | undefined,
  delta: Delta | undefined,
): PlainMutation {
  const { itemId, fires } = mutation;
  const value = result?.newValue;
  if (mutation.kind === "reduce" && value !== undefined) {
    const { initialLifetime, lifetime } = mutation;
    const isNew = result?.oldValue === undefined;
    return {
      ...{ kind: "put", itemId, value, fires, delta, keepsLifetime: true },
      lifetime: isNew && initialLifetime ? { ...initialLifetime, ...given(lifetime) } : lifetime,
    };
  }
  return { ...mutation, expectedRevision: undefined } as PlainMutation;
}

/** The parts of a lifetime that are present. */
function given({ ttlMs, connection }: Lifetime = {}): Lifetime {
  return { ...(ttlMs !== undefined && { ttlMs }), ...(connection !== undefined && { connection }) };
}

function guardsOf({ head, items, remembered }: Known): Guards {
  const revisions = new Map<string, number>();
  for (const [id, stored] of items) revisions.set(id, stored?.item.revision ?? 0);
  const newKeys: string[] = [];
  for (const [id, known] of remembered) if (known === undefined) newKeys.push(id);
  return { epoch: head.position.epoch, revisions, newKeys };
}
