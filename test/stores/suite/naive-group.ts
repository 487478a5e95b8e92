import type { Json } from "../../../src/core/value.ts";
import { Value } from "../../../src/core/value.ts";
import type { History, Mutation } from "../../../src/core/store.ts";

/** A change as the model keeps it. */
export interface NaiveChange {
  readonly type: string;
  readonly itemId: string;
  readonly json: Json;
  readonly revision: number;
  readonly timestamp: number;
  readonly timeMs: number;
  readonly size: number;
  readonly author: string;
}

interface NaiveItem {
  readonly itemId: string;
  readonly json: Json;
  readonly revision: number;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
  readonly author: string;
}

/** The model's outcome of a commit. */
export type NaiveOutcome =
  | {
      readonly ok: true;
      readonly revision: number;
      readonly values: readonly (readonly [Json | undefined, Json | undefined])[];
    }
  | { readonly ok: false; readonly reason: string; readonly metadata: Record<string, string> };

/** A commit that the model can run. */
export interface NaiveCommit {
  readonly mutations: readonly Mutation[];
  /** Whether it names an epoch that the group does not have. */
  readonly wrongEpoch: boolean;
  readonly maxReturnBytes: number | undefined;
  readonly author?: string | undefined;
}

/**
 * A group by its definition: a list of all changes of its current history, and everything else is
 * derived from that list. Speed does not matter.
 */
export class NaiveGroup {
  /** Number of its history, from 1; 0 before the first. */
  era = 0;
  /** Whether it was written since it was last forgotten. */
  alive = false;
  timestamp = 0;
  changes: NaiveChange[] = [];
  items: NaiveItem[] = [];

  get revision(): number {
    return this.changes.length;
  }

  /** Runs a commit on copies and keeps them if it succeeds. */
  commit(commit: NaiveCommit, nowMs: number): NaiveOutcome {
    const several = commit.mutations.length > 1;
    const refused = (
      reason: string,
      metadata: Record<string, string>,
      index?: number,
    ): NaiveOutcome => ({
      ok: false,
      reason,
      metadata: several && index !== undefined ? { ...metadata, index: String(index) } : metadata,
    });
    if (commit.wrongEpoch) return refused("EPOCH_MISMATCH", {});
    for (const [index, { itemId, expectedRevision }] of commit.mutations.entries()) {
      const current = this.items.find((item) => item.itemId === itemId)?.revision ?? 0;
      if (expectedRevision !== undefined && expectedRevision !== current) {
        return refused("REVISION_MISMATCH", { current_revision: String(current) }, index);
      }
    }
    const { author = "" } = commit;
    let { timestamp } = this;
    let items = this.items.slice();
    const changes = this.changes.slice();
    const values: (readonly [Json | undefined, Json | undefined])[] = [];
    let bytes = 0;
    for (const [index, mutation] of commit.mutations.entries()) {
      const { itemId } = mutation;
      const before = items.find((item) => item.itemId === itemId);
      if (mutation.kind === "delete" && before === undefined) {
        values.push([undefined, undefined]);
        continue;
      }
      let after: Json | undefined;
      if (mutation.kind === "put") after = mutation.value.json();
      if (mutation.kind === "reduce") {
        try {
          after = mutation.reduce(before && Value.of(before.json)).value.json();
        } catch {
          return refused("VALUE_INVALID", {}, index);
        }
      }
      values.push([before?.json, after]);
      for (const json of [before?.json, after])
        if (json !== undefined) bytes += Value.of(json).size;
      if (bytes > (commit.maxReturnBytes ?? Infinity))
        return refused("RESPONSE_TOO_LARGE", {}, index);
      timestamp = Math.max(nowMs, timestamp + 1);
      const json = after ?? before?.json ?? null;
      const revision = changes.length + 1;
      const type = after === undefined ? "delete" : before === undefined ? "create" : "update";
      changes.push({
        type,
        itemId,
        json,
        revision,
        timestamp,
        timeMs: nowMs,
        size: Value.of(json).size,
        author,
      });
      const item = {
        itemId,
        json,
        revision,
        createTimeMs: before?.createTimeMs ?? nowMs,
        updateTimeMs: nowMs,
        author,
      };
      if (type === "create") items.push(item);
      else if (type === "update") items = items.map((old) => (old.itemId === itemId ? item : old));
      else items = items.filter((old) => old.itemId !== itemId);
    }
    if (changes.length > this.changes.length && !this.alive) {
      this.alive = true;
      this.era += 1;
    }
    Object.assign(this, { timestamp, items, changes });
    return { ok: true, revision: this.revision, values };
  }

  /** Takes the next timestamp. */
  tick(nowMs: number): number {
    this.timestamp = Math.max(nowMs, this.timestamp + 1);
    return this.timestamp;
  }

  /** Changes after a revision, or "lost": straight from the definition of the log. */
  since(revision: number, nowMs: number, history: History): "lost" | readonly NaiveChange[] {
    const later = this.changes.slice(revision);
    const kept = this.changes.filter((change, index) => {
      const newer = this.changes.slice(index + 1);
      const bytes = newer.reduce((sum, { size }) => sum + size, change.size);
      return (
        newer.length < history.maxChanges &&
        bytes <= history.maxBytes &&
        nowMs - change.timeMs <= history.maxAgeMs
      );
    });
    return later.every((change) => kept.includes(change)) ? later : "lost";
  }

  /** Forgets the group when it is empty and old enough. */
  sweep(nowMs: number, history: History): void {
    const last = Math.max(this.timestamp, this.changes.at(-1)?.timeMs ?? 0);
    if (this.items.length > 0 || nowMs - last <= history.maxAgeMs) return;
    this.alive = false;
    this.timestamp = 0;
    this.changes = [];
  }
}
