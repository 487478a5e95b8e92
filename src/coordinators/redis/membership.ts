import type { Unwatch } from "../../core/watchers.ts";
import { unavailable } from "../../redis/redis-failure.ts";
import type { Beat, FleetCommands } from "./fleet-commands.ts";
import { newMemberId } from "./fleet-keys.ts";
import type { FleetEntry } from "./fleet-log.ts";
import { Replica } from "./replica.ts";
import { type Timer, startTimer } from "../../timers/timers.ts";

/** Dependencies of a membership. */
export interface MembershipOptions {
  /** Id of this process. */
  readonly process: string;
  readonly commands: FleetCommands;
  readonly replica: Replica;
  readonly leaseMs: number;
  readonly reattachMs: number;
  readonly timeoutMs: number;
  /** Prevents further commits by a member whose lease has ended. */
  readonly fence: (member: string) => Promise<void>;
  /** Brings the fleet's state in line with what this process wants, its membership included. */
  readonly reconcile: () => Promise<void>;
  /** Called with the reply to each heartbeat. */
  readonly onBeat: (beat: Beat) => void;
  readonly onProblem: (error: unknown) => void;
}

/** Renewals per lease duration. */
const BEATS_PER_LEASE = 5;
/** Pause before a retry, in milliseconds. */
const RETRY_MS = 25;
/** Delay before an expired trigger is ended: by then it has expired at every process. */
const END_AFTER_MS = 10;

/**
 * This process as a member of the fleet: it renews its lease, joins anew after losing it, and
 * expires members whose lease has ended.
 *
 * In its own view the lease ends earlier than for the others, because it counts from the request.
 */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #listeners = new Set<{ readonly notify: () => void }>();
  readonly #expiring = new Set<string>();
  #id: string;
  #hasJoined = false;
  /** Send time of the last renewal whose head this process has read. */
  #confirmedMs = -Infinity;
  /** A renewal whose head this process has yet to read. */
  #unconfirmed: { readonly sentMs: number; readonly beat: Beat } | undefined;
  #beating: Promise<void> | undefined;
  #beatTimer: Timer | undefined;
  #lapseTimer: Timer | undefined;
  #endTimer: Timer | undefined;
  #wasCurrent = false;
  /** When this process has to stop delivering; -Infinity: its lease has lapsed. */
  #deliversUntilMs = -Infinity;
  readonly #lapseListeners = new Set<{ readonly notify: () => void }>();
  #isLeaving = false;
  #isEnded = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#id = newMemberId(options.process);
  }

  /** The member id of this process, joined or about to join. */
  get id(): string {
    return this.#id;
  }

  /** Whether the local state is certain to be the agreed one: the lease is confirmed. */
  isCurrent(): boolean {
    const isMember = this.#options.replica.state.members.has(this.#id);
    return (
      !this.#isEnded && isMember && performance.now() < this.#confirmedMs + this.#options.leaseMs
    );
  }

  /**
   * Whether this process receives what the fleet agrees on, or would receive it before the others
   * consider it gone.
   */
  mayDeliver(): boolean {
    return performance.now() < this.#deliversUntilMs;
  }

  /** Calls the listener after each lapse of the lease, before `mayDeliver` turns true again. */
  onLapse(notify: () => void): Unwatch {
    const entry = { notify };
    this.#lapseListeners.add(entry);
    return () => void this.#lapseListeners.delete(entry);
  }

  /** Calls the listener when `isCurrent` may have changed, and after each change of the state. */
  watch(notify: () => void): Unwatch {
    const entry = { notify };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  /** Joins. Resolves when this process is a member. */
  async join(): Promise<void> {
    const { commands, leaseMs, replica, reconcile } = this.#options;
    // Expired members leave first: the triggers of an empty fleet wait in full again.
    const beat = await commands.heartbeat(this.#id, leaseMs);
    await replica.catchUp();
    await Promise.all(this.#endedOf(beat).map((member) => this.#expire(member, beat.head.lineage)));
    await reconcile();
    this.#beatSoon(0);
  }

  /** Renews the lease now. Resolves when that has succeeded or failed. Never rejects. */
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
   * Resolves when a renewal that starts after this call confirms that this process is a member and
   * has caught up.
   *
   * @throws StreamError STORE_UNAVAILABLE on timeout.
   */
  async ready(): Promise<void> {
    const askedMs = performance.now();
    const { timeoutMs, leaseMs } = this.#options;
    const isReady = () => this.isCurrent() && this.#confirmedMs >= askedMs;
    while (!isReady()) {
      if (this.#isEnded || performance.now() > askedMs + timeoutMs + leaseMs)
        throw unavailable(undefined);
      // A renewal under way was sent before this call.
      await this.#beating;
      await this.beat();
      if (!isReady()) await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
    }
  }

  /** The member has lost its lease: this process joins under a new id. */
  lose(member: string): void {
    if (this.#isEnded || member !== this.#id) return;
    this.#begin();
    void this.#reconcile();
  }

  /** A command sent at this time was granted a lease. */
  enter(sentMs: number): void {
    this.#confirm(sentMs);
  }

  /** The state has changed. */
  review(): void {
    const isMember = this.#options.replica.state.members.has(this.#id);
    this.#confirmRead();
    this.#extend();
    if (this.#hasJoined && !isMember && !this.#isEnded) {
      this.#begin();
      void this.#reconcile();
    } else {
      this.#hasJoined = isMember && !this.#isEnded;
      this.#notify();
    }
    this.#endSoon();
  }

  /** Ends deliveries: once this process has left, the others do not wait for it. */
  leave(): void {
    this.#isLeaving = true;
    this.#deliversUntilMs = -Infinity;
  }

  /** Stops renewing. */
  end(): void {
    this.leave();
    this.#lapseListeners.clear();
    this.#isEnded = true;
    this.#hasJoined = false;
    for (const timer of [this.#beatTimer, this.#lapseTimer, this.#endTimer]) timer?.cancel();
    this.#listeners.clear();
  }

  #begin(): void {
    this.#lapse();
    this.#id = newMemberId(this.#options.process);
    this.#hasJoined = false;
    this.#confirmedMs = -Infinity;
    this.#unconfirmed = undefined;
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
      replica.noteTime(beat.atMs, sentMs);
      const isLost = Replica.isLost(beat.head, before);
      if (member === this.#id && beat.isMember && !isLost) this.#unconfirmed = { sentMs, beat };
      this.#confirmRead();
      if (isLost || !replica.hasReached(beat.head)) await replica.catchUp();
      if (replica.position.lineage !== beat.head.lineage) {
        // The log was lost, and has just been restored.
        inMs = 0;
        return;
      }
      if (member === this.#id && !beat.isMember && this.#hasJoined) this.#begin();
      onBeat(beat);
      for (const ended of this.#endedOf(beat)) void this.#expireLater(ended, beat.head.lineage);
      // Also retries changes that have failed.
      void this.#reconcile();
    } finally {
      this.#beatSoon(Math.max(0, inMs - (performance.now() - sentMs)));
    }
  }

  /** Members without a lease. */
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
      // In another lineage the member has a lease again.
      const isKnown = state.members.has(member) && replica.position.lineage === lineage;
      return isKnown ? [{ kind: "expire", member, reattachMs }] : [];
    });
  }

  #confirmRead(): void {
    const renewal = this.#unconfirmed;
    if (renewal === undefined || !this.#options.replica.hasReached(renewal.beat.head)) return;
    this.#unconfirmed = undefined;
    this.#confirm(renewal.sentMs);
  }

  #confirm(sentMs: number): void {
    this.#confirmedMs = Math.max(this.#confirmedMs, sentMs);
    this.#extend();
    this.#lapseLater();
    // Otherwise the change of the state notifies the listeners.
    if (this.isCurrent() !== this.#wasCurrent) this.#notify();
  }

  /** Allows deliveries until the confirmed lease ends. */
  #extend(): void {
    const nowMs = performance.now();
    // A process that was suspended may get here before its timer fires.
    if (nowMs >= this.#deliversUntilMs) this.#lapse();
    const untilMs = this.#confirmedMs + this.#options.leaseMs;
    const isMember = this.#options.replica.state.members.has(this.#id);
    if (isMember && !this.#isLeaving && nowMs < untilMs) this.#deliversUntilMs = untilMs;
  }

  #lapse(): void {
    if (this.#deliversUntilMs === -Infinity) return;
    this.#deliversUntilMs = -Infinity;
    notifyAll(this.#lapseListeners);
  }

  /** Notifies the listeners when the lease ends. */
  #lapseLater(): void {
    this.#lapseTimer?.cancel();
    const leftMs = this.#confirmedMs + this.#options.leaseMs - performance.now();
    // A timer that was set late in a long turn fires early.
    if (leftMs <= 0) {
      this.#lapse();
      return this.#notify();
    }
    this.#lapseTimer = startTimer(leftMs + 1, () => this.#lapseLater()).unref();
  }

  /** Ends triggers that no member has bound again in time. */
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
    notifyAll(this.#listeners);
  }
}

function notifyAll(listeners: ReadonlySet<{ readonly notify: () => void }>): void {
  for (const entry of Array.from(listeners)) {
    if (!listeners.has(entry)) continue;
    try {
      entry.notify();
    } catch (error) {
      // Does not disturb other listeners; surfaces as an uncaught error.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
