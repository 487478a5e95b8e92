import type { Frame, Position } from "../../web/demo/group-follower.js";
import { type Options, createStreamClient } from "../../web/demo/stream-client.js";

type SocketEvents = Parameters<Options["openSocket"]>[0];

/** The group that most tests follow. */
export const GROUP = { streamName: "metrics", groupId: "here" };

/** Timers of a clock that only the test advances. */
class FakeClock {
  nowMs = 0;
  #timers: { readonly atMs: number; readonly work: () => void }[] = [];

  readonly later = (work: () => void, ms: number) => {
    const timer = { atMs: this.nowMs + ms, work };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((each) => each !== timer));
  };

  /** Milliseconds until the next timer; undefined when there is none. */
  get leftMs(): number | undefined {
    const times = this.#timers.map(({ atMs }) => atMs - this.nowMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Advances the clock, and runs due timers in order. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const due = this.#timers
        .filter(({ atMs }) => atMs <= endMs)
        .toSorted((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((each) => each !== due);
      this.nowMs = due.atMs;
      due.work();
    }
    this.nowMs = endMs;
  }
}

/** A socket whose other end is the test. */
export class FakeSocket {
  readonly sent: { readonly type: string; readonly data: JoinData }[] = [];
  closed = false;
  closedWith: number | undefined;
  readonly #events: SocketEvents;

  constructor(events: SocketEvents) {
    this.#events = events;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as (typeof this.sent)[number]);
  }

  close(code?: number): void {
    this.closed = true;
    this.closedWith = code;
  }

  open(): void {
    this.#events.opened();
  }

  /** Receives a frame from the service. */
  receive(frame: unknown): void {
    this.#events.received(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** The connection breaks. */
  break(): void {
    this.closed = true;
    this.#events.closed();
  }
}

/** The data of a join. */
interface JoinData {
  readonly subscriptionId: string;
  readonly streamName: string;
  readonly groupId: string;
  readonly resume?: Position;
}

/** A client whose sockets and clock the test controls. */
export function fakeConnection(random = () => 0.5) {
  const clock = new FakeClock();
  const sockets: FakeSocket[] = [];
  const statuses: string[] = [];
  const client = createStreamClient({
    openSocket(events) {
      const socket = new FakeSocket(events);
      sockets.push(socket);
      return socket;
    },
    onStatus: (status) => statuses.push(status),
    nowMs: () => clock.nowMs,
    later: clock.later,
    random,
  });
  return {
    client,
    clock,
    sockets,
    statuses,
    /** The latest socket. */
    get socket(): FakeSocket {
      const socket = sockets.at(-1);
      if (socket === undefined) throw new Error("no socket was opened");
      return socket;
    },
  };
}

/** Frames as the service sends them. */
export const frames = {
  /** The items of a group at a position. */
  sync: (items: Readonly<Record<string, unknown>>, at: Position, parts = {}) =>
    frame({ type: "sync", data: Object.values(items), ids: Object.keys(items), ...parts }, at),
  resumed: (from: Position, head: Position) => frame({ type: "resumed", head }, from),
  heartbeat: (at: Position) => frame({ type: "heartbeat" }, at),
  set: (id: string, data: unknown, at: Position) => frame({ type: "update", data }, at, id),
  delete: (id: string, data: unknown, at: Position) => frame({ type: "delete", data }, at, id),
  event: (type: string, data: unknown) =>
    frame({ type: "event", event: { type, data } }, undefined),
  refused: (code: string, reason: string) => ({
    ...frame({ type: "error", code, reason, message: "No." }, undefined),
    subscriptionId: "s",
  }),
};

function frame(event: Frame["event"], at: Position | undefined, id: string | null = null): Frame {
  return { type: "stream", timestamp: 1000 + (at?.revision ?? 0), ...GROUP, id, ...at, event };
}
