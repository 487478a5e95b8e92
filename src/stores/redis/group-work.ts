import {
  decideCommit,
  epochMismatch,
  revisionMismatch,
  revisionsUsedUp,
} from "../../core/commit.ts";
import type { StoredItem } from "../../core/commit.ts";
import { StreamError } from "../../core/errors.ts";
import type {
  Broadcast,
  Commit,
  Head,
  Mutation,
  MutationResult,
  Outcome,
} from "../../core/store.ts";
import { ORIGIN } from "../../core/position.ts";
import {
  type Entry,
  type Guards,
  type PlainMutation,
  isNothing,
  isPlain,
  writeGroup,
} from "./batch-args.ts";
import { decodeHead, decodeItem, decodeValue, textOf } from "./records.ts";

/** A call on its way: commits of one group, or a transient event. */
export interface Job {
  readonly groupText: string;
  readonly work: readonly Commit[] | Broadcast;
  /** When it came, by performance.now(). */
  readonly sinceMs: number;
  readonly bytes: number;
  /** Number of mutations. */
  readonly mutations: number;
  /** What the fleet had agreed on when it came. @see WriterContext.agreed */
  readonly agreed: number;
  resolve(outcomes: readonly Outcome[]): void;
  reject(error: StreamError): void;
}

/** Most bytes of values that one commit may write: it is one command of the server. */
const MAX_COMMIT_BYTES = 64 * 1024 * 1024;

/** Items of a group that were read together. */
interface Known {
  readonly head: Head;
  readonly items: ReadonlyMap<string, StoredItem | undefined>;
}

/** A commit that was decided here: what the script is to do, or that there is nothing to do. */
interface Decided {
  readonly refusal: StreamError | undefined;
  readonly mutations: readonly PlainMutation[];
  readonly results: readonly MutationResult[];
}

/** What a batch does to one group. */
export class GroupWork {
  readonly text: string;
  #jobs: Job[] = [];
  readonly #newEpoch: string;
  #known: Known | undefined;
  #decided: readonly Decided[] = [];
  /** Items that the script was told to look at. */
  #guarded: readonly string[] = [];

  /** @param newEpoch Its epoch, if it has none yet. */
  constructor(text: string, newEpoch: string) {
    this.text = text;
    this.#newEpoch = newEpoch;
  }

  /** Whether nobody waits for it any more. */
  get isEmpty(): boolean {
    return this.#jobs.length === 0;
  }

  /** Number of calls. */
  get jobCount(): number {
    return this.#jobs.length;
  }

  /** When the first of its calls came. */
  get sinceMs(): number {
    return this.#jobs[0]?.sinceMs ?? Infinity;
  }

  /** Bytes of values that are to be written. */
  get bytes(): number {
    let bytes = this.#jobs.reduce((sum, job) => sum + job.bytes, 0);
    for (const { mutations } of this.#decided) bytes += valueBytes(mutations);
    return bytes;
  }

  /** Adds a call behind the others. */
  add(job: Job): void {
    this.#jobs.push(job);
    this.#decided = [];
  }

  /** Fails those that came before a time, with the error that is given for each, if one is. */
  failOlderThan(ms: number, error: (job: Job) => StreamError | undefined): void {
    this.#jobs = this.#jobs.filter((job) => {
      const failure = job.sinceMs < ms ? error(job) : undefined;
      if (failure !== undefined) job.reject(failure);
      return failure === undefined;
    });
    this.#decided = [];
  }

  /** Each call as a work of its own. */
  split(newEpoch: () => string): readonly GroupWork[] {
    return this.#jobs.map((job) => {
      const single = new GroupWork(this.text, newEpoch());
      single.add(job);
      return single;
    });
  }

  /** Items that have to be read before it can be written; none when the script can do it by itself. */
  get unread(): readonly string[] {
    if (this.#commits().every(isPlain)) {
      this.#known = undefined;
      return [];
    }
    const touched = this.#touched();
    const known = this.#known?.items;
    return known !== undefined && touched.every((id) => known.has(id)) ? [] : touched;
  }

  /** Takes what was read: the reply of the get script for `unread`. */
  take(reply: unknown): void {
    const [lineage, head, , records] = reply as [unknown, unknown, unknown, unknown[]];
    this.#know(lineage, head, this.#touched(), records);
  }

  /** Decides what cannot be left to the script, by what was read. */
  decide(): void {
    this.#decided = this.#known === undefined ? [] : this.#decide(this.#known);
  }

  /**
   * Writes its arguments for the commit script. After `decide`.
   *
   * @returns whether there is anything to do.
   */
  write(args: string[]): boolean {
    if (this.#known === undefined) {
      writeGroup(args, this.text, this.#newEpoch, undefined, this.#entries());
      return true;
    }
    const entries = this.#entries();
    if (entries.length === 0) return false;
    writeGroup(args, this.text, this.#newEpoch, guardsOf(this.#known), entries);
    this.#guarded = Array.from(this.#known.items.keys());
    return true;
  }

  /**
   * Takes its part of the script's reply, and answers its jobs.
   *
   * @returns false when somebody else was faster: it has to be decided and written again.
   */
  finish(reply: unknown, lineage: unknown): boolean {
    const [status, second, third] = reply as [number, unknown, unknown];
    if (status === 1) {
      this.#know(lineage, second, this.#guarded, third as unknown[]);
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
        if (decided?.refusal !== undefined) return { ok: false, error: decided.refusal };
        return outcomeOf(each, decided, replies[next++] ?? [], epoch);
      });
      job.resolve(outcomes);
    }
    return true;
  }

  /** Answers its jobs when there was nothing to do. */
  finishUndone(): void {
    this.finish([0, ""], "");
  }

  /** Fails its jobs. */
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
  ): void {
    this.#known = {
      head: decodeHead(head, lineage),
      items: new Map(itemIds.map((id, i) => [id, decodeItem(id, records[i])])),
    };
  }

  /** Decides all commits by what was read: each sees those before it. */
  #decide(known: Known): readonly Decided[] {
    let { head } = known;
    const items = new Map(known.items);
    return this.#commits().map((commit): Decided => {
      const decision = decideCommit(commit, {
        head,
        lookup: (itemId) => items.get(itemId),
        // Times are the script's. Nobody sees these.
        nowMs: 0,
        floor: 0,
        newEpoch: () => this.#newEpoch,
      });
      if (!decision.ok) return { refusal: decision.error, mutations: [], results: [] };
      const { results } = decision;
      const mutations = commit.mutations.map((each, i) => plainOf(each, results[i]));
      if (valueBytes(mutations) > MAX_COMMIT_BYTES)
        return { refusal: tooMuch(), mutations: [], results: [] };
      head = decision.head;
      for (const [itemId, { after }] of decision.writes) items.set(itemId, after);
      return { refusal: undefined, mutations, results };
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
        if (decided === undefined || decided.refusal !== undefined) continue;
        const { mutations } = decided;
        entries.push({ kind: "commit", commit: { mutations, expectedEpoch: undefined } });
      }
    }
    return entries;
  }
}

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

/** What the script is told of a mutation that was decided here. Its expectation held. */
function plainOf(mutation: Mutation, result: MutationResult | undefined): PlainMutation {
  const { itemId, fires } = mutation;
  const value = result?.newValue;
  if (mutation.kind === "reduce" && value !== undefined)
    return { kind: "put", itemId, value, fires };
  return { ...mutation, expectedRevision: undefined } as PlainMutation;
}

function guardsOf({ head, items }: Known): Guards {
  const revisions = new Map<string, number>();
  for (const [id, stored] of items) revisions.set(id, stored?.item.revision ?? 0);
  return { epoch: head.position.epoch, revisions };
}

function outcomeOf(
  commit: Commit,
  decided: Decided | undefined,
  reply: readonly unknown[],
  epoch: string,
): Outcome {
  const [status, first, second] = reply;
  if (status !== 0) return { ok: false, error: refusalOf(commit, status, first, second) };
  const revisionNow = Number(first);
  const position = revisionNow === 0 ? ORIGIN : { epoch, revision: revisionNow };
  let at = 2;
  const results = commit.mutations.map((mutation, i): MutationResult => {
    const revision = isNothing(mutation) ? 0 : Number(reply[at++]);
    const old = isNothing(mutation) ? undefined : reply[at++];
    const changed = revision === 0 ? undefined : revision;
    const known = decided?.results[i];
    if (known !== undefined) return { ...known, revision: changed };
    return { revision: changed, ...valuesOf(mutation, old) };
  });
  return { ok: true, position, results };
}

function valuesOf(mutation: Mutation, old: unknown): Omit<MutationResult, "revision"> {
  const oldValue = Buffer.isBuffer(old) ? decodeValue(old) : undefined;
  switch (mutation.kind) {
    case "put":
      return { oldValue, newValue: mutation.value, errors: [] };
    case "record":
      return {
        oldValue: mutation.before,
        newValue: mutation.after,
        errors: mutation.errors ?? [],
      };
    default:
      return { oldValue, newValue: undefined, errors: [] };
  }
}

/** The refusal that the script names. */
function refusalOf(commit: Commit, status: unknown, first: unknown, second: unknown): StreamError {
  switch (status) {
    case 1: {
      const told = commit.mutations.filter((mutation) => !isNothing(mutation));
      const index = commit.mutations.indexOf(told[Number(first)] as Mutation);
      return revisionMismatch(commit, index, Number(second));
    }
    case 2:
      return epochMismatch(textOf(first));
    default:
      return revisionsUsedUp();
  }
}
