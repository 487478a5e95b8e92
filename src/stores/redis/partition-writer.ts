import { groupOfText } from "../../core/names.ts";
import { StreamError } from "../../core/errors.ts";
import { Fifo } from "../../core/fifo.ts";
import type { History } from "../../core/store.ts";
import { RedisFailure, unavailable } from "../../redis/redis-failure.ts";
import type { RedisLink } from "../../redis/redis-link.ts";
import { GroupBatch, type GroupWrite, needsRepair } from "./group-batch.ts";
import { type WriterSession, WriterLease } from "./writer-lease.ts";
import { textOf } from "./encoding.ts";
import { COMMIT, GET } from "./scripts.ts";
import type { WriterContext } from "./writer-context.ts";

/** A batch ends at the first of these limits, but has at least one call: no script takes long. */
const MAX_BATCH_MUTATIONS = 1000;
const MAX_BATCH_BYTES = 1024 * 1024;
/** Beyond it, commits decided in this process are written call by call. */
const MAX_SCRIPT_BYTES = 8 * 1024 * 1024;
/** How often a writer verifies itself before it gives up on a server that does not know it. */
const MAX_ADMISSIONS = 5;

/**
 * Writes one partition for this process. One batch is under way at a time; calls that arrive
 * meanwhile form the next one. So calls take effect in order, and any number of concurrent writers
 * cost one script.
 */
export class PartitionWriter {
  readonly #context: WriterContext;
  readonly #partition: number;
  readonly #lease: WriterLease;
  readonly #queue = new Fifo<GroupWrite>();
  #working: Promise<void> | undefined;

  constructor(context: WriterContext, partition: number) {
    this.#context = context;
    this.#partition = partition;
    this.#lease = new WriterLease(context, partition);
  }

  /** Its registration, and its knowledge of losses. */
  get lease(): WriterLease {
    return this.#lease;
  }

  /** Queues a call. Its outcome is reported through the job. */
  add(job: GroupWrite): void {
    this.#queue.push(job);
    this.#working ??= this.#work();
  }

  /** Resolves when all calls are settled. */
  async whenIdle(): Promise<void> {
    while (this.#working !== undefined) await this.#working;
  }

  async #work(): Promise<void> {
    // Calls of the same turn of the event loop join the batch.
    await new Promise((resolve) => setImmediate(resolve));
    // Works that another writer was faster with, say, are written again, with later calls.
    let left: readonly GroupBatch[] = [];
    while (this.#queue.length > 0 || left.length > 0) {
      const works = this.#takeBatch(left);
      try {
        left = await this.#run(works);
      } catch (error) {
        left = [];
        for (const work of works) work.fail(StreamError.from(error));
      }
    }
    // In the same step in which the queue was found empty: a later call begins anew.
    this.#working = undefined;
  }

  #takeBatch(left: readonly GroupBatch[]): readonly GroupBatch[] {
    const works = new Map(left.map((work) => [work.text, work]));
    const now = performance.now();
    const { timeoutMs } = this.#context.servers;
    for (const work of left) {
      work.failOlderThan(now - timeoutMs, () =>
        unavailable(new Error("Other writers were faster in every attempt.")),
      );
    }
    let bytes = 0;
    let mutations = 0;
    while (bytes < MAX_BATCH_BYTES && mutations < MAX_BATCH_MUTATIONS) {
      const job = this.#queue.shift();
      if (job === undefined) break;
      bytes += job.bytes;
      mutations += job.mutations;
      const { groupText } = job;
      const work = works.get(groupText) ?? new GroupBatch(groupText, this.#context.newEpoch());
      works.set(groupText, work);
      work.add(job);
    }
    return Array.from(works.values()).filter(({ isEmpty }) => !isEmpty);
  }

  /** @returns The works that are to be written again. */
  async #run(works: readonly GroupBatch[]): Promise<readonly GroupBatch[]> {
    if (works.length === 0) return [];
    const { servers, keys } = this.#context;
    const { tag } = keys.ofPartition(this.#partition);
    const deadlineMs = Math.min(...works.map(({ sinceMs }) => sinceMs)) + servers.timeoutMs;
    const acquire = (link: RedisLink) => this.#lease.acquire(link);
    const session = await servers.attempt(tag, "read", acquire, deadlineMs);
    // The triggers to fire were chosen when the calls were received, and may have changed since.
    for (const work of works) {
      work.failOlderThan(session.atMs, ({ agreed }) =>
        agreed === this.#context.agreed()
          ? undefined
          : unavailable(new Error("The connection was lost, and triggers have changed meanwhile.")),
      );
    }
    await Promise.all(works.map((work) => this.#read(work, deadlineMs)));
    for (const work of works) work.decide();
    const present = works.filter(({ isEmpty }) => !isEmpty);
    const bytes = present.reduce((sum, work) => sum + work.bytes, 0);
    const jobs = present.reduce((sum, work) => sum + work.jobCount, 0);
    if (bytes <= MAX_SCRIPT_BYTES || jobs < 2) return this.#write(present, deadlineMs, session);
    return this.#runOneByOne(present);
  }

  /** Writes each call separately, in order. */
  async #runOneByOne(works: readonly GroupBatch[]): Promise<readonly GroupBatch[]> {
    for (const work of works) {
      for (const single of work.split(this.#context.newEpoch)) {
        let left: readonly GroupBatch[] = [single];
        while (left.length > 0) {
          try {
            left = await this.#run(left);
          } catch (error) {
            single.fail(StreamError.from(error));
            break;
          }
        }
      }
    }
    return [];
  }

  async #read(work: GroupBatch, deadlineMs: number): Promise<void> {
    const items = work.unread;
    if (items.length === 0) return;
    const { servers, keys, clock, windowMs } = this.#context;
    const { tag, state } = keys.ofPartition(this.#partition);
    const group = keys.ofGroup(this.#partition, work.text);
    const names = [state, group.head, group.items];
    // The timestamp of a sync is not needed here.
    const args = ["0"];
    const { keyIds } = work;
    if (keyIds.length > 0) {
      names.push(group.keys);
      args[0] = clock === undefined ? "" : String(clock());
      args.push(String(windowMs), String(keyIds.length), ...keyIds);
    }
    args.push(...items);
    const run = (link: RedisLink) => link.run(GET, names, args, "read");
    const reply = await servers.attempt(tag, "read", run, deadlineMs);
    const [lineage, commits, head, , records, remembered = []] = reply as readonly unknown[];
    this.#lease.noteCommits(Number(commits), textOf(lineage));
    work.take(lineage, head, records as readonly unknown[], remembered as readonly unknown[]);
  }

  async #write(
    works: readonly GroupBatch[],
    deadlineMs: number,
    session: WriterSession,
  ): Promise<readonly GroupBatch[]> {
    const { keys, historyOf, windowMs } = this.#context;
    const common = limitsText(historyOf(""));
    const place = keys.ofPartition(this.#partition);
    const { state, groups, streams, due, outbox, mark, lifetimes, bound } = place;
    const names = [state, groups, streams, due, outbox, mark, lifetimes, bound];
    const args: string[] = [];
    const written: GroupBatch[] = [];
    /** Keys of groups with idempotency keys, the last one first. */
    const keyed: string[] = [];
    for (const work of works) {
      const start = args.length;
      if (!work.write(args, { place: keyed.length + 1, windowMs })) {
        work.finishUndone();
        continue;
      }
      const own = limitsText(historyOf(groupOfText(work.text).streamName));
      if (own !== common) args[start] += ` ${own}`;
      const group = keys.ofGroup(this.#partition, work.text);
      names.push(group.head, group.items, group.order, group.log);
      if (work.isKeyed) keyed.unshift(group.keys);
      written.push(work);
    }
    if (written.length === 0) return [];
    names.push(...keyed);
    const reply = await this.#submit(names, args, deadlineMs, session);
    const [, commits, lineage, ...replies] = reply;
    this.#lease.noteCommits(Number(commits), textOf(lineage));
    const left = written.filter((work, i) => !work.finish(replies[i], lineage));
    const { repair } = this.#context;
    const torn = written.filter((_, i) => needsRepair(replies[i]));
    if (torn.length > 0)
      await Promise.all(torn.map(({ text }) => repair.repair(this.#partition, text)));
    return left;
  }

  #submit(
    names: readonly string[],
    args: readonly string[],
    deadlineMs: number,
    first: WriterSession,
  ): Promise<readonly unknown[]> {
    const { servers, keys, historyOf, clock, groupClock, agreed } = this.#context;
    const { tag } = keys.ofPartition(this.#partition);
    const limits = limitsText(historyOf("")).split(" ");
    return servers.attempt(
      tag,
      "commit",
      async (link) => {
        for (let i = 0; i < MAX_ADMISSIONS; i++) {
          const session = await this.#lease.acquire(link);
          if (session !== first && agreed() !== first.agreed)
            throw unavailable(new Error("The connection was lost, and triggers have changed."));
          const { name, nonce, runId } = session;
          const time = clock === undefined ? "" : String(clock());
          const proof = [`w:${name}`, nonce, runId, ...this.#lease.known, time];
          const floor = String(groupClock.floor(0, 0));
          const all = [...proof, ...limits, floor, ...args];
          const reply = await link.run(COMMIT, names, all, "commit");
          if (Array.isArray(reply) && textOf(reply[0]) === "ok") return reply as unknown[];
          this.#lease.forget();
        }
        throw new RedisFailure("busy", "The server does not know this writer.");
      },
      deadlineMs,
    );
  }
}

function limitsText({ maxChanges, maxAgeMs, maxBytes }: History): string {
  return `${maxChanges} ${maxAgeMs} ${maxBytes}`;
}
