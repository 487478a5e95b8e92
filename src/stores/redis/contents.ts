import { NO_AUTHOR } from "../../core/author.ts";
import type { Broadcast, Commit, Mutation } from "../../core/store.ts";
import { AUTHORS, type Contents, DELTAS, KEYS, PLAIN } from "./layout.ts";

/*
 * Which records writes lead to, and writes without those that some process of the fleet does not read.
 */

function hasAuthor({ author = NO_AUTHOR }: Commit | Broadcast): boolean {
  return author !== NO_AUTHOR;
}

/** Which records a transient event may lead to. */
export function contentsOfEvent(message: Broadcast): Contents {
  return hasAuthor(message) ? AUTHORS : PLAIN;
}

/** A commit or an event without its author. */
export function withoutAuthor<T extends Commit | Broadcast>(work: T): T {
  return work.author === undefined ? work : { ...work, author: undefined };
}

/** Whether a commit has an idempotency key. */
export function hasKey({ idempotency }: Commit): boolean {
  return idempotency !== undefined;
}

/** Which records commits may lead to. Only their updates can have deltas. */
export function contentsOf(commits: readonly Commit[], withDeltas: boolean): Contents {
  if (commits.some(hasKey)) return KEYS;
  if (withDeltas && commits.some(({ mutations }) => mutations.some(mayHaveDelta))) return DELTAS;
  return commits.some(hasAuthor) ? AUTHORS : PLAIN;
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
