import { type GroupKey, groupKeyText } from "../core/names.ts";

/** Most bytes of calls that wait for earlier ones of their group, over all sockets. */
const MAX_WAITING_BYTES = 32 * 1024 * 1024;
/** Most of them for one socket: a call of the largest size fits. */
const MAX_SOCKET_WAITING_BYTES = 8 * 1024 * 1024;

/** The memory of calls that wait for earlier ones of their group, over all sockets. */
export class WaitingCalls {
  #bytes = 0;

  /** Whether there is room for more. */
  hasRoom(bytes: number): boolean {
    return this.#bytes + bytes <= MAX_WAITING_BYTES;
  }

  /** Counts bytes, or uncounts them. */
  add(bytes: number): void {
    this.#bytes += bytes;
  }
}

/** A call, as far as its order matters. */
export interface OrderedCall {
  /** Whether it changes nothing. */
  readonly isRead: boolean;
  /** The group that it is about; undefined: it keeps no order. */
  readonly group: GroupKey | undefined;
}

/** The calls of one group. */
interface Line {
  /** Whether those that run are reads. */
  isRead: boolean;
  running: number;
  readonly waiting: Waiting[];
}

interface Waiting {
  readonly isRead: boolean;
  readonly bytes: number;
  /** What it came by. */
  readonly source: object;
  readonly start: () => Promise<void>;
}

/**
 * Lets the calls of one group take effect in the order in which they were sent, over all sockets of a
 * session. Writes start one
 * after the other without a pause, since the service keeps their order, and so do reads, which have
 * none. A read waits for the writes before it, and a write for the reads before it.
 */
export class CallOrder {
  readonly #all: WaitingCalls;
  readonly #lines = new Map<string, Line>();
  #waitingBytes = 0;
  #running = 0;
  #onIdle: (() => void)[] = [];

  /** @param all Counts the calls of all sockets that wait. */
  constructor(all: WaitingCalls) {
    this.#all = all;
  }

  /** Whether a call of this size could start, or wait, now. */
  hasRoom({ isRead, group }: OrderedCall, bytes: number): boolean {
    const line = group && this.#lines.get(groupKeyText(group));
    if (line === undefined || isOpenTo(line, isRead)) return true;
    return this.#waitingBytes + bytes <= MAX_SOCKET_WAITING_BYTES && this.#all.hasRoom(bytes);
  }

  /**
   * Starts a call now, or when it is its turn.
   *
   * @param bytes What it holds in memory while it waits.
   * @param source The socket that it came by.
   * @param start Makes the call. Resolves when it is over; never rejects.
   */
  run(
    { isRead, group }: OrderedCall,
    bytes: number,
    source: object,
    start: () => Promise<void>,
  ): void {
    if (group === undefined) return void start();
    const key = groupKeyText(group);
    let line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, (line = { isRead, running: 0, waiting: [] }));
    if (isOpenTo(line, isRead)) return this.#start(key, line, start);
    this.#count(bytes);
    line.waiting.push({ isRead, bytes, source, start });
  }

  /** Drops the calls of a socket that wait: they never start. */
  drop(source: object): void {
    for (const { waiting } of this.#lines.values()) {
      for (const each of waiting) if (each.source === source) this.#count(-each.bytes);
      waiting.splice(0, Infinity, ...waiting.filter((each) => each.source !== source));
    }
  }

  /** Resolves when no call with a group is running. */
  whenIdle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  #start(key: string, line: Line, start: () => Promise<void>): void {
    line.running++;
    this.#running++;
    void start().then(() => {
      this.#running--;
      if (--line.running === 0) this.#continue(key, line);
      if (this.#running === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
    });
  }

  /** Starts the next calls of one kind. */
  #continue(key: string, line: Line): void {
    const [first] = line.waiting;
    if (first === undefined) return void this.#lines.delete(key);
    const other = line.waiting.findIndex(({ isRead }) => isRead !== first.isRead);
    const next = line.waiting.splice(0, other === -1 ? line.waiting.length : other);
    line.isRead = first.isRead;
    for (const { bytes, start } of next) {
      this.#count(-bytes);
      this.#start(key, line, start);
    }
  }

  #count(bytes: number): void {
    this.#waitingBytes += bytes;
    this.#all.add(bytes);
  }
}

/** Whether a call can start beside those that run. */
function isOpenTo({ isRead, waiting }: Line, startsRead: boolean): boolean {
  return waiting.length === 0 && isRead === startsRead;
}
