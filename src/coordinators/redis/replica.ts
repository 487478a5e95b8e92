import { randomUUID } from "node:crypto";
import { StreamError } from "../../core/errors.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import { type FleetCommands, NOWHERE, type Position, type Reading } from "./fleet-commands.ts";
import { type FleetEntry, type FleetRecord, applyRecord } from "./fleet-log.ts";
import { EMPTY_STATE, type FleetState, readState, writeState } from "./fleet-state.ts";

/** What is to change, given what is agreed on: nothing when it is so already. Asked again after a conflict. */
export type Intent = (state: FleetState) => readonly FleetEntry[];

/** What a replica works with. */
export interface ReplicaOptions {
  readonly commands: FleetCommands;
  /** Longest time that a proposal waits for Redis, in milliseconds. */
  readonly timeoutMs: number;
  readonly leaseMs: number;
  readonly reattachMs: number;
  /** The member on whose behalf it appends. */
  readonly author: () => string;
  /** The member has no lease any more. */
  readonly onGone: (member: string) => void;
  /** The state has changed. */
  readonly onChange: () => void;
  /** The member has got a lease by a command that was sent at this time of performance.now(). */
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
/** After how many records the log begins anew, with a snapshot. */
const MAX_LOG_LENGTH = 500;
/** Pause after a failure, in milliseconds. */
const RETRY_MS = 50;
/** What others may have seen of a log that was lost, and who restores it has not: at least so many versions. */
const LOST_VERSIONS = 1000;

/**
 * This process's copy of what the fleet agrees on. It follows the log, and appends to it.
 *
 * Appends are compared with what was read last, so that each is made in full knowledge of all before.
 * When the log was lost, the copy is put in its place.
 */
export class Replica {
  readonly #options: ReplicaOptions;
  #state: FleetState = EMPTY_STATE;
  #position: Position = NOWHERE;
  #proposals: Proposal[] = [];
  /** Those that are being appended. */
  #batch: readonly Proposal[] = [];
  /** Those who wait for a reading that begins after they asked. */
  #readers: { readonly resolve: () => void; readonly reject: (error: StreamError) => void }[] = [];
  #isBehind = false;
  #isRunning = false;
  #logLength = 0;
  /** Time of Redis less performance.now(), or somewhat less. */
  #clockOffsetMs: number | undefined;
  #isClosed = false;

  constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  /** What the fleet agrees on, as far as it is known here. */
  get state(): FleetState {
    return this.#state;
  }

  /** How far it is known here. */
  get position(): Position {
    return this.#position;
  }

  /** The time of Redis, which is never ahead of it; undefined while it is not known. */
  get redisNowMs(): number | undefined {
    return this.#clockOffsetMs === undefined ? undefined : performance.now() + this.#clockOffsetMs;
  }

  /** Takes the time of Redis, as a reply told it just now to a command that was sent at a time. */
  tellTime(atMs: number, sentMs: number): void {
    const leastMs = atMs - performance.now();
    const mostMs = atMs + 1 - sentMs;
    // What is known better from an earlier reply is kept as long as it can be right.
    this.#clockOffsetMs = Math.min(Math.max(this.#clockOffsetMs ?? leastMs, leastMs), mostMs);
  }

  /** Whether a place in the log is known here. */
  hasReached({ lineage, version }: Pick<Position, "lineage" | "version">): boolean {
    return this.#position.lineage === lineage && this.#position.version >= version;
  }

  /** Whether a log that ends there cannot be the one that led to a place: the last of that was lost. */
  static isLost(head: Position, place: Position): boolean {
    if (head.lineage !== place.lineage) return true;
    if (head.version === place.version) return head.token !== place.token;
    return head.version < place.version;
  }

  /** Reads what is new. Resolves when all is known that was there at the time of the call. */
  catchUp(): Promise<void> {
    if (this.#isClosed) return Promise.reject(unavailable(undefined));
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#isBehind = true;
      this.#run();
    });
  }

  /** Hears that there is something new. */
  noteNews(): void {
    this.catchUp().catch(() => {});
  }

  /**
   * Has something agreed on. Resolves when it holds here.
   *
   * @param onAgreed Called when it holds, before the next proposal is made of any intent.
   * @throws StreamError STORE_UNAVAILABLE when Redis cannot be reached in time. It may hold nevertheless.
   */
  propose(intent: Intent, onAgreed?: () => void): Promise<void> {
    if (this.#isClosed) return Promise.reject(unavailable(undefined));
    return new Promise((resolve, reject) => {
      const deadlineMs = performance.now() + this.#options.timeoutMs;
      this.#proposals.push({ intent, onAgreed, deadlineMs, resolve, reject });
      this.#run();
    });
  }

  /** Ends. What waits is rejected. */
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
    // What is asked for in this turn goes along.
    await new Promise((resolve) => setImmediate(resolve));
    while (!this.#isClosed && (this.#isBehind || this.#proposals.length > 0)) {
      try {
        if (this.#isBehind) await this.#read();
        if (!this.#isBehind && this.#proposals.length > 0) await this.#append();
      } catch (error) {
        // An append whose answer was lost may be in the log.
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
      this.tellTime(reading.atMs, sentMs);
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

  /** Goes on from another state than its own. @returns whether it is done. */
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
    // Until it is restored, what was agreed on goes on to hold here: gates must not open meanwhile.
    const entry: FleetEntry = {
      kind: "restore",
      state: writeState(this.#state),
      // Whoever has come no further in one of these knows nothing that would be missing.
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

  /** Undefined: this process is no member, so that nothing is on its behalf. */
  #authorOf(state: FleetState): string | undefined {
    const author = this.#options.author();
    return state.members.has(author) ? author : undefined;
  }

  /** @returns whether it is done. Otherwise there is something new to read. */
  async #write(
    state: FleetState,
    expected: Position,
    next: Position,
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
    this.tellTime(reply.atMs, sentMs);
    this.#logLength = reply.logLength;
    // As everybody else reads it: without what JSON does not tell.
    const read = JSON.parse(JSON.stringify(entries)) as FleetEntry[];
    const record: FleetRecord = { ...next, atMs: reply.atMs, entries: read };
    const after = applyRecord(state, record);
    const joins = entries.some((entry) => entry.kind === "join" && entry.member === author);
    if (joins) onEntered(sentMs);
    this.#adopt(after, next);
    return true;
  }

  #adopt(state: FleetState, position: Position): void {
    const isSame = state === this.#state && position.version === this.#position.version;
    this.#state = state;
    this.#position = position;
    if (!isSame && !this.#isClosed) this.#options.onChange();
  }
}

function newToken(): string {
  return randomUUID().slice(0, 8);
}
