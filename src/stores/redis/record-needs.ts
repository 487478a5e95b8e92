import { NO_AUTHOR } from "../../core/author.ts";
import { DATA_FORMATS, type DataFormat } from "../../core/data-format.ts";
import type { Broadcast, Commit, Mutation } from "../../core/store.ts";

/*
 * The formats that the records of writes need, and writes without what some process of the fleet does
 * not read.
 */

function hasAuthor({ author = NO_AUTHOR }: Commit | Broadcast): boolean {
  return author !== NO_AUTHOR;
}

/** The format that the record of a transient event needs. */
export function formatForEvent(message: Broadcast): DataFormat {
  return hasAuthor(message) ? DATA_FORMATS.authors : DATA_FORMATS.plain;
}

/** A commit or an event without its author. */
export function withoutAuthor<T extends Commit | Broadcast>(work: T): T {
  return work.author === undefined ? work : { ...work, author: undefined };
}

/** Whether a commit has an idempotency key. */
export function hasKey({ idempotency }: Commit): boolean {
  return idempotency !== undefined;
}

/** The format that the records of commits need. Only updates can have deltas. */
export function formatFor(commits: readonly Commit[], withDeltas: boolean): DataFormat {
  if (commits.some(hasKey)) return DATA_FORMATS.keys;
  if (withDeltas && commits.some(({ mutations }) => mutations.some(mayHaveDelta)))
    return DATA_FORMATS.deltas;
  return commits.some(hasAuthor) ? DATA_FORMATS.authors : DATA_FORMATS.plain;
}

function mayHaveDelta(mutation: Mutation): boolean {
  return mutation.kind === "reduce" || (mutation.kind === "record" && mutation.delta !== undefined);
}

/** A commit whose updates are logged whole. */
export function withoutDeltas(commit: Commit): Commit {
  if (!commit.mutations.some(mayHaveDelta)) return commit;
  return { ...commit, mutations: commit.mutations.map(withoutDelta) };
}

function withoutDelta(mutation: Mutation): Mutation {
  if (mutation.kind === "record") return { ...mutation, delta: undefined };
  if (mutation.kind !== "reduce") return mutation;
  const { reduce } = mutation;
  return { ...mutation, reduce: (current) => ({ ...reduce(current), effective: undefined }) };
}
