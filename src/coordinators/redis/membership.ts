import type { Unwatch } from "../../core/store.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import type { Beat, FleetCommands } from "./fleet-commands.ts";
import { newMemberId } from "./fleet-keys.ts";
import type { FleetEntry } from "./fleet-log.ts";
import { Replica } from "./replica.ts";
import { type Timer, startTimer } from "../../timers/timers.ts";

/** What a membership works with. */
export interface MembershipOptions {
  /** Names the process. */
  readonly process: string;
  readonly commands: FleetCommands;
  readonly replica: Replica;
  readonly leaseMs: number;
  readonly reattachMs: number;
  readonly timeoutMs: number;
  /** Makes sure that a member can commit nothing any more whose lease has ended. */
  readonly fence: (member: string) => Promise<void>;
  /** Has the fleet agree to what this process wants, membership included. */
  readonly reconcile: () => Promise<void>;
  /** Hears each heartbeat that was answered. */
  readonly onBeat: (beat: Beat) => void;
  readonly onProblem: (error: unknown) => void;
}

/** How often a lease is renewed while it lasts. */
const BEATS_PER_LEASE = 5;
/** Pause before something is tried again, in milliseconds. */
const RETRY_MS = 25;
/** How long after its time a trigger is ended: every process knows by its own clock then. */
const END_AFTER_MS = 10;

/**
 * This process as a member of the fleet: it renews its lease, joins anew when it has lost it, and has
 * members expire whose lease has ended.
 *
 * Its own view of its lease ends before that of the others, because it counts from when it asked.
 */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #listeners = new Set<{ readonly tell: () => void }>();
  readonly #expiring = new Set<string>();
  #id: string;
  #hasJoined = false;
  /** When the last renewal was sent after which all that it told was known here. */
  #confirmedMs = -Infinity;
  /** A renewal that told more than is known here. */
  #told: { readonly sentMs: number; readonly beat: Beat } | undefined;
  #beating: Promise<void> | undefined;
  #beatTimer: Timer | undefined;
  #lapseTimer: Timer | undefined;
  #endTimer: Timer | undefined;
  #wasCurrent = false;
  #isEnded = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#id = newMemberId(options.process);
  }

  /** The member that this process is, or is about to be. */
  get id(): string {
    return this.#id;
  }

  /** Whether what is known here is what the fleet agreed on, as far as this process can tell. */
  isCurrent(): boolean {
    const isMember = this.#options.replica.state.members.has(this.#id);
    return (
      !this.#isEnded && isMember && performance.now() < this.#confirmedMs + this.#options.leaseMs
    );
  }

  /** Calls the listener when `isCurrent` may be another, and after each change of the state. */
  watch(tell: () => void): Unwatch {
    const entry = { tell };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  /** Joins. Resolves when it holds. */
  async join(): Promise<void> {
    const { commands, leaseMs, replica, reconcile } = this.#options;
    // Those whose lease has ended go first: triggers that waited while nobody was there go on waiting.
    const beat = await commands.heartbeat(this.#id, leaseMs);
    await replica.catchUp();
    await Promise.all(this.#endedOf(beat).map((member) => this.#expire(member, beat.head.lineage)));
    await reconcile();
    this.#beatSoon(0);
  }

  /** Renews the lease now. Resolves when that was answered or has failed. Never rejects. */
  beat(): Promise<void> {
    if (this.#isEnded) return Promise.resolve();
    this.#beatTimer?.cancel();
    this.#beating ??= this.#renew()
      .catch(this.#options.onProblem)
      .finally(() => {
        this.#beating = undefined;
      });
    return this.#beating;
  }

  /**
   * Resolves when a renewal that begins after the call has shown that this process is a member that
   * has caught up.
   *
   * @throws StreamError STORE_UNAVAILABLE when that takes too long.
   */
  async ready(): Promise<void> {
    const askedMs = performance.now();
    const { timeoutMs, leaseMs } = this.#options;
    const isReady = () => this.isCurrent() && this.#confirmedMs >= askedMs;
    while (!isReady()) {
      if (this.#isEnded || performance.now() > askedMs + timeoutMs + leaseMs)
        throw unavailable(undefined);
      // One that is under way was sent before.
      await this.#beating;
      await this.beat();
      if (!isReady()) await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
    }
  }

  /** The member has no lease any more: this process begins another one. */
  lose(member: string): void {
    if (this.#isEnded || member !== this.#id) return;
    this.#begin();
    void this.#reconcile();
  }

  /** A lease was got by a command that was sent at this time. */
  enter(sentMs: number): void {
    this.#confirm(sentMs);
  }

  /** Something has changed in the state. */
  review(): void {
    const isMember = this.#options.replica.state.members.has(this.#id);
    this.#confirmTold();
    if (this.#hasJoined && !isMember && !this.#isEnded) {
      this.#begin();
      void this.#reconcile();
    } else {
      this.#hasJoined = isMember && !this.#isEnded;
      this.#notify();
    }
    this.#endSoon();
  }

  /** Renews no longer. */
  end(): void {
    this.#isEnded = true;
    this.#hasJoined = false;
    for (const timer of [this.#beatTimer, this.#lapseTimer, this.#endTimer]) timer?.cancel();
    this.#listeners.clear();
  }

  #begin(): void {
    this.#id = newMemberId(this.#options.process);
    this.#hasJoined = false;
    this.#confirmedMs = -Infinity;
    this.#told = undefined;
    this.#notify();
  }

  async #reconcile(): Promise<void> {
    try {
      await this.#options.reconcile();
    } catch (error) {
      // The next heartbeat tries again.
      this.#options.onProblem(error);
    }
  }

  #beatSoon(inMs: number): void {
    this.#beatTimer?.cancel();
    if (this.#isEnded) return;
    this.#beatTimer = startTimer(inMs, () => void this.beat()).unref();
  }

  async #renew(): Promise<void> {
    const { commands, leaseMs, replica, onBeat } = this.#options;
    const sentMs = performance.now();
    const before = replica.position;
    const member = this.#id;
    let inMs = leaseMs / BEATS_PER_LEASE;
    try {
      const beat = await commands.heartbeat(member, leaseMs);
      if (this.#isEnded) return;
      replica.tellTime(beat.atMs, sentMs);
      const isLost = Replica.isLost(beat.head, before);
      if (member === this.#id && beat.isMember && !isLost) this.#told = { sentMs, beat };
      this.#confirmTold();
      if (isLost || !replica.hasReached(beat.head)) await replica.catchUp();
      if (replica.position.lineage !== beat.head.lineage) {
        // The log was lost, and has just been put in place again.
        inMs = 0;
        return;
      }
      if (member === this.#id && !beat.isMember && this.#hasJoined) this.#begin();
      onBeat(beat);
      for (const ended of this.#endedOf(beat)) void this.#expireLater(ended, beat.head.lineage);
      // Also what could not be done when it was asked for.
      void this.#reconcile();
    } finally {
      this.#beatSoon(Math.max(0, inMs - (performance.now() - sentMs)));
    }
  }

  /** Members whose lease was taken away. */
  #endedOf({ head: { lineage, version }, leases }: Beat): string[] {
    const { state, position } = this.#options.replica;
    if (position.lineage !== lineage) return [];
    return Array.from(state.members).flatMap(([id, { since }]) =>
      id !== this.#id && since <= version && !leases.has(id) ? [id] : [],
    );
  }

  async #expireLater(member: string, lineage: string): Promise<void> {
    if (this.#expiring.has(member)) return;
    this.#expiring.add(member);
    try {
      await this.#expire(member, lineage);
    } catch (error) {
      this.#options.onProblem(error);
    } finally {
      this.#expiring.delete(member);
    }
  }

  async #expire(member: string, lineage: string): Promise<void> {
    const { fence, replica, reattachMs } = this.#options;
    await fence(member);
    await replica.propose((state): readonly FleetEntry[] => {
      // In another lineage it has got a lease again.
      const isKnown = state.members.has(member) && replica.position.lineage === lineage;
      return isKnown ? [{ kind: "expire", member, reattachMs }] : [];
    });
  }

  #confirmTold(): void {
    const told = this.#told;
    if (told === undefined || !this.#options.replica.hasReached(told.beat.head)) return;
    this.#told = undefined;
    this.#confirm(told.sentMs);
  }

  #confirm(sentMs: number): void {
    this.#confirmedMs = Math.max(this.#confirmedMs, sentMs);
    this.#lapseLater();
    // Otherwise whoever listens is told of the state itself.
    if (this.isCurrent() !== this.#wasCurrent) this.#notify();
  }

  /** Tells whoever listens when the lease has ended. */
  #lapseLater(): void {
    this.#lapseTimer?.cancel();
    const leftMs = this.#confirmedMs + this.#options.leaseMs - performance.now();
    // A timer that was set late in a long turn fires early.
    if (leftMs <= 0) return this.#notify();
    this.#lapseTimer = startTimer(leftMs + 1, () => this.#lapseLater()).unref();
  }

  /** Ends triggers when nobody has taken them up in time. */
  #endSoon(): void {
    const { replica } = this.#options;
    this.#endTimer?.cancel();
    let nextMs = Infinity;
    for (const { lostUntilMs = Infinity } of replica.state.triggers.values())
      nextMs = Math.min(nextMs, lostUntilMs);
    if (nextMs === Infinity || this.#isEnded) return;
    const leftMs = nextMs - (replica.redisNowMs ?? nextMs) + END_AFTER_MS;
    const waitMs = Math.max(this.#hasJoined ? 1 : RETRY_MS, leftMs);
    this.#endTimer = startTimer(waitMs, () => {
      if (this.#isEnded) return;
      replica.propose(this.#endings).then(
        () => this.#endSoon(),
        () => this.#endSoon(),
      );
    }).unref();
  }

  readonly #endings = (): readonly FleetEntry[] => {
    const { replica } = this.#options;
    const nowMs = replica.redisNowMs ?? 0;
    if (!replica.state.members.has(this.#id)) return [];
    return Array.from(replica.state.triggers.values()).flatMap(({ bound, lostUntilMs }) =>
      lostUntilMs !== undefined && lostUntilMs <= nowMs
        ? [{ kind: "end" as const, triggerId: bound.id }]
        : [],
    );
  };

  #notify(): void {
    this.#wasCurrent = this.isCurrent();
    for (const entry of Array.from(this.#listeners)) {
      if (!this.#listeners.has(entry)) continue;
      try {
        entry.tell();
      } catch (error) {
        // Whoever throws disturbs nobody else: it surfaces as an uncaught error.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
