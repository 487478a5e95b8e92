import { randomUUID } from "node:crypto";
import { StreamError } from "../../core/errors.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import { type FleetCommands, NOWHERE, type LogPosition, type Reading } from "./fleet-commands.ts";
import { type FleetEntry, type FleetRecord, applyRecord } from "./fleet-log.ts";
import { EMPTY_STATE, type FleetState, readState, writeState } from "./fleet-state.ts";

/**
 * Returns the changes to propose, given the agreed state; none when it is as intended already.
 * Called again after a conflict.
 */
export type Intent = (state: FleetState) => readonly FleetEntry[];

/** Dependencies of a replica. */
export interface ReplicaOptions {
  readonly commands: FleetCommands;
  /** Longest time that a proposal waits for Redis, in milliseconds. */
  readonly timeoutMs: number;
  readonly leaseMs: number;
  readonly reattachMs: number;
  /** The member that appends. */
  readonly author: () => string;
  /** The member has lost its lease. */
  readonly onGone: (member: string) => void;
  /** The state has changed. */
  readonly onChange: () => void;
  /** The member was granted a lease by a command sent at this time of performance.now(). */
  readonly onEntered: (sentMs: number) => void;
}

interface Proposal {
  readonly intent: Intent;
  readonly onAgreed: (() => void) | undefined;
  readonly deadlineMs: number;
  readonly resolve: () => void;
  readonly reject: (error: StreamError) => void;
}

const LEFT = new StreamError("STORE_UNAVAILABLE", "The fleet was left.");
/** Records after which the log is truncated to a snapshot. */
const MAX_LOG_LENGTH = 500;
/** Pause after a failure, in milliseconds. */
const RETRY_MS = 50;
/**
 * Versions to skip when a lost log is restored: other members may have seen more of it than the one
 * that restores it.
 */
const LOST_VERSIONS = 1000;

/**
 * This process's copy of the fleet's agreed state. It follows the log, and appends to it.
 *
 * An append succeeds only if the head of the log is the position of this copy, so each change is
 * made with knowledge of all earlier ones. When the log is lost, it is restored from the copy.
 */
export class Replica {
  readonly #options: ReplicaOptions;
  #state: FleetState = EMPTY_STATE;
  #position: LogPosition = NOWHERE;
  #proposals: Proposal[] = [];
  /** The proposals that are being appended. */
  #batch: readonly Proposal[] = [];
  /** Calls that wait for a read that starts after them. */
  #readers: { readonly resolve: () => void; readonly reject: (error: StreamError) => void }[] = [];
  #isBehind = false;
  #isRunning = false;
  #logLength = 0;
  /** A lower bound of the time of Redis minus performance.now(). */
  #clockOffsetMs: number | undefined;
  #isClosed = false;

  constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  /** The agreed state at `position`. */
  get state(): FleetState {
    return this.#state;
  }

  /** How far this copy has read the log. */
  get position(): LogPosition {
    return this.#position;
  }

  /** The time of Redis, never ahead of it; undefined while it is unknown. */
  get redisNowMs(): number | undefined {
    return this.#clockOffsetMs === undefined ? undefined : performance.now() + this.#clockOffsetMs;
  }

  /** Records the time of Redis from a reply received just now to a command sent at `sentMs`. */
  noteTime(atMs: number, sentMs: number): void {
    const leastMs = atMs - performance.now();
    const mostMs = atMs + 1 - sentMs;
    // A tighter bound from an earlier reply is kept as long as it is possible.
    this.#clockOffsetMs = Math.min(Math.max(this.#clockOffsetMs ?? leastMs, leastMs), mostMs);
  }

  /** Whether this copy has read up to a position. */
  hasReached({ lineage, version }: Pick<LogPosition, "lineage" | "version">): boolean {
    return this.#position.lineage === lineage && this.#position.version >= version;
  }

  /** Whether a log with this head does not contain a position: the end of its log was lost. */
  static isLost(head: LogPosition, position: LogPosition): boolean {
    if (head.lineage !== position.lineage) return true;
    if (head.version === position.version) return head.token !== position.token;
    return head.version < position.version;
  }

  /** Reads new records. Resolves when all records that were in the log at the call are applied. */
  catchUp(): Promise<void> {
    if (this.#isClosed) return Promise.reject(unavailable(undefined));
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#isBehind = true;
      this.#run();
    });
  }

  /** Reads new records in the background. */
  noteNews(): void {
    this.catchUp().catch(() => {});
  }

  /**
   * Proposes changes. Resolves when they are agreed on and applied here.
   *
   * @param onAgreed Called when they are, before the intent of any further proposal is called.
   * @throws StreamError STORE_UNAVAILABLE when Redis cannot be reached in time. The changes may
   * take effect nevertheless.
   */
  propose(intent: Intent, onAgreed?: () => void): Promise<void> {
    if (this.#isClosed) return Promise.reject(unavailable(undefined));
    return new Promise((resolve, reject) => {
      const deadlineMs = performance.now() + this.#options.timeoutMs;
      this.#proposals.push({ intent, onAgreed, deadlineMs, resolve, reject });
      this.#run();
    });
  }

  /** Closes it. Pending calls reject. */
  close(): void {
    this.#isClosed = true;
    for (const { reject } of this.#batch) reject(LEFT);
    this.#giveUp(LEFT, Infinity);
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    void this.#work().finally(() => {
      this.#isRunning = false;
      if (this.#isClosed) this.#giveUp(LEFT, Infinity);
      else if (this.#isBehind || this.#proposals.length > 0) this.#run();
    });
  }

  async #work(): Promise<void> {
    // Batches all proposals of this event-loop turn.
    await new Promise((resolve) => setImmediate(resolve));
    while (!this.#isClosed && (this.#isBehind || this.#proposals.length > 0)) {
      try {
        if (this.#isBehind) await this.#read();
        if (!this.#isBehind && this.#proposals.length > 0) await this.#append();
      } catch (error) {
        // An append whose reply was lost may be in the log.
        this.#isBehind = true;
        this.#giveUp(error instanceof StreamError ? error : unavailable(error), performance.now());
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  }

  #giveUp(error: StreamError, nowMs: number): void {
    for (const { reject } of this.#readers.splice(0)) reject(unavailable(error));
    const late = this.#proposals.filter(({ deadlineMs }) => deadlineMs <= nowMs);
    this.#proposals = this.#proposals.filter(({ deadlineMs }) => deadlineMs > nowMs);
    for (const { reject } of late) reject(unavailable(error));
  }

  async #read(): Promise<void> {
    const readers = this.#readers;
    this.#readers = [];
    this.#isBehind = false;
    let isDone = false;
    try {
      const sentMs = performance.now();
      const reading = await this.#options.commands.read(this.#position);
      this.noteTime(reading.atMs, sentMs);
      isDone = reading.kind === "next" ? this.#follow(reading) : await this.#reload(reading);
    } finally {
      if (!isDone) this.#readers.unshift(...readers);
    }
    if (isDone) for (const { resolve } of readers) resolve();
  }

  #follow({ head, records }: Reading): true {
    this.#logLength += records.length;
    this.#adopt(records.reduce(applyRecord, this.#state), head);
    return true;
  }

  /** Adopts another state, or restores a lost log. @returns whether it is done. */
  async #reload({ kind, head, snapshot, records }: Reading): Promise<boolean> {
    const base = snapshot === undefined ? EMPTY_STATE : readState(snapshot);
    const state = records.reduce(applyRecord, base);
    const { lineage, version } = this.#position;
    const isLost = kind === "foreign" && version > 0 && (state.origins.get(lineage) ?? 0) < version;
    if (!isLost) {
      this.#logLength = records.length;
      this.#adopt(state, head);
      return true;
    }
    // Until the log is restored, the old state stays in force here: gates must not open meanwhile.
    const entry: FleetEntry = {
      kind: "restore",
      state: writeState(this.#state),
      // A member that has read no further in one of these has nothing to add.
      origins: [
        [lineage, version],
        [head.lineage, head.version],
      ],
      reattachMs: this.#options.reattachMs,
    };
    const next = {
      lineage: randomUUID(),
      version: Math.max(version, head.version) + LOST_VERSIONS,
      token: newToken(),
    };
    return this.#write(state, head, next, [entry], undefined);
  }

  async #append(): Promise<void> {
    const batch = this.#proposals;
    this.#batch = batch;
    this.#proposals = [];
    const { lineage, version } = this.#position;
    const next = {
      lineage: lineage === "" ? randomUUID() : lineage,
      version: version + 1,
      token: newToken(),
    };
    const entries: FleetEntry[] = [];
    let scratch = this.#state;
    const asked = new Set<Intent>();
    for (const { intent } of batch) {
      if (asked.has(intent)) continue;
      asked.add(intent);
      const made = intent(scratch);
      if (made.length === 0) continue;
      entries.push(...made);
      const atMs = this.redisNowMs ?? 0;
      scratch = applyRecord(scratch, { ...next, atMs, entries: made });
    }
    if (entries.length > 0) {
      let isDone = false;
      try {
        isDone = await this.#write(
          this.#state,
          this.#position,
          next,
          entries,
          this.#authorOf(scratch),
        );
      } finally {
        if (!isDone) this.#proposals.unshift(...batch);
      }
      if (!isDone) return;
    }
    for (const { onAgreed, resolve } of batch) {
      onAgreed?.();
      resolve();
    }
  }

  /** Undefined: this process is no member. */
  #authorOf(state: FleetState): string | undefined {
    const author = this.#options.author();
    return state.members.has(author) ? author : undefined;
  }

  /** @returns whether it is done. Otherwise there are new records to read. */
  async #write(
    state: FleetState,
    expected: LogPosition,
    next: LogPosition,
    entries: readonly FleetEntry[],
    author: string | undefined,
  ): Promise<boolean> {
    const { commands, leaseMs, onEntered, onGone } = this.#options;
    const snapshot = this.#logLength >= MAX_LOG_LENGTH ? writeState(state) : undefined;
    const sentMs = performance.now();
    const reply = await commands.append({ expected, next, entries, author, leaseMs, snapshot });
    if (reply.kind !== "ok") {
      this.#isBehind = true;
      if (reply.kind === "gone" && author !== undefined) onGone(author);
      return false;
    }
    this.noteTime(reply.atMs, sentMs);
    this.#logLength = reply.logLength;
    // As other members read it: without what JSON cannot express.
    const read = JSON.parse(JSON.stringify(entries)) as FleetEntry[];
    const record: FleetRecord = { ...next, atMs: reply.atMs, entries: read };
    const after = applyRecord(state, record);
    const joins = entries.some((entry) => entry.kind === "join" && entry.member === author);
    if (joins) onEntered(sentMs);
    this.#adopt(after, next);
    return true;
  }

  #adopt(state: FleetState, position: LogPosition): void {
    const isSame = state === this.#state && position.version === this.#position.version;
    this.#state = state;
    this.#position = position;
    if (!isSame && !this.#isClosed) this.#options.onChange();
  }
}

function newToken(): string {
  return randomUUID().slice(0, 8);
}
