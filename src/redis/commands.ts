import type { Redis } from "ioredis";
import { RedisFailure, failureOf } from "./redis-failure.ts";

/** A command: its name, then its arguments. */
export type RedisCommand = readonly [string, ...(string | Buffer)[]];

/** Options of a command connection. */
export interface CommandsOptions {
  readonly client: Redis;
  /** Replicas that must have a commit before it is acknowledged; 0: none. */
  readonly minReplicas: number;
  /** Longest time that a reply may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Called when a reply takes too long. */
  readonly onStalled: () => void;
}

interface Waiting {
  readonly command: RedisCommand;
  /** Whether replicas must have it before it is acknowledged. */
  readonly isCommit: boolean;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (failure: RedisFailure) => void;
}

/**
 * Commands over one connection. The commands of one event-loop turn go out in one write, and share
 * one wait for the replicas. During that wait nothing else is sent, or the waits would add up.
 */
export class Commands {
  readonly #options: CommandsOptions;
  #waiting: Waiting[] = [];
  /** Send times of the pending batches, oldest first. */
  readonly #sent = new Set<{ readonly atMs: number }>();
  #lastReplyMs = 0;

  constructor(options: CommandsOptions) {
    this.#options = options;
  }

  /** Time of the last reply, by performance.now(). */
  get lastReplyMs(): number {
    return this.#lastReplyMs;
  }

  /**
   * Sends a command. Replies are integers, Buffers, null, or arrays of those.
   *
   * @param isCommit Whether replicas must have it before it is acknowledged.
   * @throws RedisFailure
   */
  send(command: RedisCommand, isCommit = false): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#flushIfFree());
      this.#waiting.push({ command, isCommit, resolve, reject });
    });
  }

  /** Called regularly: drops a connection whose server does not reply. */
  review(nowMs: number): void {
    const [oldest] = this.#sent;
    if (oldest !== undefined && nowMs - oldest.atMs > this.#options.timeoutMs)
      this.#options.onStalled();
  }

  #flushIfFree(): void {
    if (this.#waiting.length === 0) return;
    if (this.#options.minReplicas > 0 && this.#sent.size > 0) return;
    const batch = this.#waiting;
    this.#waiting = [];
    void this.#flush(batch).finally(() => this.#flushIfFree());
  }

  /** Sends a batch, and settles all of it. Never rejects. */
  async #flush(batch: readonly Waiting[]): Promise<void> {
    const { client, minReplicas, timeoutMs } = this.#options;
    const isOpen = client.status === "ready" || client.status === "connect";
    if (!isOpen) {
      for (const { reject } of batch)
        reject(new RedisFailure("unsent", "There is no connection to the server."));
      return;
    }
    const waits = minReplicas > 0 && batch.some(({ isCommit }) => isCommit);
    const sent = { atMs: performance.now() };
    let results: [error: Error | null, result?: unknown][];
    this.#sent.add(sent);
    try {
      const pipeline = client.pipeline();
      // As one array: a command may have more arguments than a function can take.
      for (const { command } of batch) {
        const [name, ...args] = command;
        pipeline.callBuffer(name, args);
      }
      // Shorter than the timeout of the reply: a count of replicas says more than a timeout.
      if (waits) pipeline.call("WAIT", minReplicas, Math.ceil(timeoutMs / 4));
      results = (await pipeline.exec()) ?? [];
    } catch (error) {
      for (const { reject } of batch) reject(failureOf(error, true));
      return;
    } finally {
      this.#sent.delete(sent);
    }
    if (results.some(([error]) => error === null || error.name === "ReplyError"))
      this.#lastReplyMs = performance.now();
    const shortage = waits ? shortageOf(results[batch.length], minReplicas) : undefined;
    for (const [index, { isCommit, resolve, reject }] of batch.entries()) {
      const [error, reply] = results[index] ?? [new Error("There is no reply.")];
      if (error !== null) reject(failureOf(error, true));
      else if (isCommit && shortage !== undefined) reject(shortage);
      else resolve(reply);
    }
  }
}

/** The failure of a write that the master has, and too few replicas. */
function shortageOf(
  result: [error: Error | null, result?: unknown] | undefined,
  minReplicas: number,
): RedisFailure | undefined {
  const [error, reply] = result ?? [new Error("There is no reply.")];
  if (error !== null) return failureOf(error, true);
  const count = Number(reply);
  if (count >= minReplicas) return undefined;
  return new RedisFailure("lost", `${count} of ${minReplicas} required replicas have the write.`);
}
