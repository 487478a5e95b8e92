import { StreamError } from "../../core/errors.ts";
import type { Outbox, OutboxHead } from "../../core/outbox.ts";
import type { Unwatch } from "../../core/watchers.ts";
import type { RedisServers } from "../../redis/redis-servers.ts";
import type { RedisKeys } from "./keys.ts";
import {
  type AnnouncedEntry,
  decodeOutboxEntry,
  decodeOutboxHead,
  decodeOutboxMessage,
  textOf,
} from "./encoding.ts";
import { CLAIM, SCAN, SETTLE } from "./scripts.ts";
import { AnnouncedEntries } from "./announced-entries.ts";

/** The outbox of the store, which fences earlier owners. */
export interface RedisOutbox extends Outbox {
  /**
   * Accepts only settlements with this fence from now on. It begins with a number that grows with
   * each owner.
   *
   * @throws StreamError STORE_UNAVAILABLE when a later owner has claimed it.
   */
  claim(partition: number, fence: string): Promise<void>;
  /** Removes all listeners. */
  close(): void;
}

const SCAN_PAGE = 500;
/** Interval at which a listener scans its partition without an announcement, in milliseconds. */
const LOOK_MS = 5000;
const RETRY_MS = 500;

/** The outbox in Redis. */
export function createRedisOutbox(servers: RedisServers, keys: RedisKeys): RedisOutbox {
  const listeners = new Set<OutboxListener>();
  const announced = new AnnouncedEntries();

  const read = async (
    partition: number,
    from: number,
    to: string,
    limit: number,
    whole: string,
  ) => {
    const { tag, outbox, settled } = keys.ofPartition(partition);
    const args = [`${from}-0`, to, String(limit), whole];
    return (await servers.run(tag, SCAN, [outbox, settled], args, "read")) as readonly unknown[];
  };
  const scan = async (partition: number, after: number, limit: number) => {
    const reply = await read(partition, after + 1, "+", limit, "0");
    const heads: OutboxHead[] = [];
    for (let i = 0; i + 2 < reply.length; i += 3)
      heads.push(decodeOutboxHead(Number(reply[i]), reply[i + 1] as Buffer, reply[i + 2]));
    return heads;
  };

  return {
    partitions: keys.partitions,
    scan,
    async lineage(partition) {
      const { tag, state } = keys.ofPartition(partition);
      return textOf(await servers.send(tag, ["HGET", state, "lineage"], "read"));
    },
    async read(partition, seq) {
      const known = announced.get(partition, seq);
      if (known !== undefined) return decodeOutboxEntry(seq, known, undefined);
      const [place, packed, settled] = await read(partition, seq, `${seq}-0`, 1, "1");
      return place === undefined ? undefined : decodeOutboxEntry(seq, packed as Buffer, settled);
    },
    async settle(partition, settled, fence) {
      const { tag, state, outbox, settled: settledKey } = keys.ofPartition(partition);
      const args = [fence];
      for (const { seq, triggers, complete } of settled) {
        announced.forget(partition, seq);
        args.push(String(seq), complete ? "1" : "0");
        args.push(complete ? "" : triggers.map((id) => `${id}\u0000`).join(""));
      }
      const names = [state, outbox, settledKey];
      // It is idempotent, so it can be repeated after a lost reply.
      const done = await servers.run(tag, SETTLE, names, args, "read");
      if (Number(done) !== 1) throw overtaken();
    },
    watch(partition, notify) {
      const keep = (seq: number, packed: Buffer) => announced.keep(partition, seq, packed);
      const listener = new OutboxListener({ servers, keys, partition, scan, notify, keep });
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
        listener.close();
      };
    },
    async claim(partition, fence) {
      const { tag, state } = keys.ofPartition(partition);
      const done = await servers.run(tag, CLAIM, [state], [fence], "read");
      if (Number(done) !== 1) throw overtaken();
    },
    close() {
      for (const listener of listeners) listener.close();
      listeners.clear();
      announced.clear();
    },
  };
}

function overtaken(): StreamError {
  return new StreamError("STORE_UNAVAILABLE", "Another process has taken over this partition.");
}

/** Dependencies of a listener. */
interface OutboxListenerOptions {
  readonly servers: RedisServers;
  readonly keys: RedisKeys;
  readonly partition: number;
  readonly scan: (partition: number, after: number, limit: number) => Promise<OutboxHead[]>;
  readonly notify: (heads: readonly OutboxHead[]) => void;
  /** Keeps an entry that was announced whole. */
  readonly keep: (seq: number, packed: Buffer) => void;
}

/**
 * Receives the announcements of one partition. Sequence numbers are contiguous, so the next message
 * reveals a lost one, and the entries are read; a periodic scan finds those that were never
 * announced.
 */
class OutboxListener {
  readonly #options: OutboxListenerOptions;
  /** Sequence number of the last entry reported; undefined until the start is known. */
  #last: number | undefined;
  #looking: Promise<void> | undefined;
  #mustLookAgain = false;
  #timer: NodeJS.Timeout | undefined;
  #stop: Unwatch | undefined;
  #isClosed = false;

  constructor(options: OutboxListenerOptions) {
    this.#options = options;
    void this.#open();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#stop?.();
  }

  async #open(): Promise<void> {
    const { servers, keys, partition } = this.#options;
    const { tag, state, outbox } = keys.ofPartition(partition);
    while (!this.#isClosed) {
      try {
        // The start is read first, so no later entry is missed.
        this.#last ??= Number(textOf(await servers.send(tag, ["HGET", state, "seq"], "read")) || 0);
        const stop = await servers.subscribe(tag, outbox, {
          onMessage: (packed) => this.#take(decodeOutboxMessage(packed)),
          onDoubt: () => this.#look(),
        });
        if (this.#isClosed) return stop();
        this.#stop = stop;
        this.#timer = setInterval(() => this.#look(), LOOK_MS);
        this.#timer.unref();
        return this.#look();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  }

  #take(entries: readonly AnnouncedEntry[]): void {
    const first = entries[0]?.head;
    if (this.#isClosed || this.#last === undefined) return;
    // An empty message: the entries were too large for it.
    if (first === undefined) return this.#look();
    if (first.seq > this.#last + 1) return this.#look();
    const last = this.#last;
    const fresh: OutboxHead[] = [];
    for (const { head, packed } of entries) {
      if (head.seq <= last) continue;
      fresh.push(head);
      if (packed !== undefined) this.#options.keep(head.seq, packed);
    }
    if (fresh.length === 0) return;
    this.#last = fresh.at(-1)?.seq ?? last;
    this.#announce(fresh);
  }

  /** An error of one listener does not affect the others. */
  #announce(heads: readonly OutboxHead[]): void {
    try {
      this.#options.notify(heads);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #look(): void {
    if (this.#looking !== undefined) {
      this.#mustLookAgain = true;
      return;
    }
    this.#looking = this.#lookNow()
      // The next message or scan finds the missing entries.
      .catch(() => {})
      .finally(() => {
        this.#looking = undefined;
        if (!this.#mustLookAgain || this.#isClosed) return;
        this.#mustLookAgain = false;
        this.#look();
      });
  }

  async #lookNow(): Promise<void> {
    for (;;) {
      const after = this.#last ?? 0;
      const heads = await this.#options.scan(this.#options.partition, after, SCAN_PAGE);
      if (this.#isClosed) return;
      const fresh = heads.filter(({ seq }) => seq > (this.#last ?? 0));
      if (fresh.length > 0) {
        this.#last = fresh.at(-1)?.seq;
        this.#announce(fresh);
      }
      if (heads.length < SCAN_PAGE) return;
    }
  }
}
