import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import type { Random } from "../random.ts";

/** How a client goes on after it was cut. */
export type Comeback = "with its session" | "anew";

/** What became of the connections of all clients, by their ids. */
export interface ConnectionBook {
  /** Connections that clients have, with the rooms that they are present in. */
  readonly open: Map<string, string>;
  /**
   * When clients gave connections up, by the clock of `performance`, and whether all was confirmed
   * that they had announced. `isLate`: a client came back too late, which it cannot know before.
   */
  readonly over: Map<
    string,
    { readonly atMs: number; readonly wasReady: boolean; readonly isLate: boolean }
  >;
  /** Violations: a sentence each. */
  readonly faults: string[];
  readonly counts: { resumed: number; anew: number; late: number };
}

/** Dependencies of a client. */
export interface PresentClientOptions {
  /** URLs of the processes that are up. */
  readonly urls: () => readonly string[];
  readonly room: string;
  readonly dice: Random;
  readonly timeoutMs: number;
  readonly book: ConnectionBook;
}

/** A frame, as far as the clients read it. */
interface ClientFrame {
  readonly type: string;
  readonly data?: {
    readonly connectionId?: string;
    readonly session?: string;
    readonly resumed?: boolean;
    readonly id?: number;
    readonly error?: { readonly reason: string };
  };
  readonly event?: { readonly type: string; readonly reason?: string };
}

/**
 * A client that is present in a room, and has an item bound to its connection in the group of
 * cursors of the same name. Whenever its connection is lost, it comes back.
 */
export class PresentClient {
  readonly #options: PresentClientOptions;
  #socket: WebSocket | undefined;
  #session:
    | { readonly secret: string; readonly connectionId: string; wasReady: boolean }
    | undefined;
  #comeback: Comeback = "with its session";
  #isReady = false;
  #isStopped = false;
  #onReady: (() => void) | undefined;
  readonly #over: Promise<void>;

  constructor(options: PresentClientOptions) {
    this.#options = options;
    this.#over = this.#run();
  }

  /** Whether it is present, and its item is written. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Resolves when it is. */
  async ready(): Promise<void> {
    while (!this.#isReady) await new Promise<void>((resolve) => (this.#onReady = resolve));
  }

  /** Destroys its socket without a close frame. */
  cut(comeback: Comeback): void {
    if (comeback === "anew") this.#giveUp(false);
    this.#comeback = comeback;
    this.#socket?.terminate();
  }

  /** Ends it, without a close frame. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#socket?.terminate();
    await this.#over;
  }

  async #run(): Promise<void> {
    const { urls, dice, timeoutMs, book } = this.#options;
    let lostMs = performance.now();
    while (!this.#isStopped) {
      this.#comeback = "with its session";
      const wasConnected = await this.#live(dice.pick(urls()), lostMs);
      this.#isReady = false;
      if (this.#isStopped) return;
      if (wasConnected) lostMs = performance.now();
      const isBack = this.#comeback === "with its session" && this.#session !== undefined;
      if (!isBack) book.counts.anew++;
      await sleep(wasConnected ? dice.below(isBack ? timeoutMs / 3 : 300) : 20);
    }
  }

  /** The life of one socket. @returns Whether it got a welcome. */
  async #live(url: string, lostMs: number): Promise<boolean> {
    const { room, book } = this.#options;
    const socket = new WebSocket(url.replace("http", "ws"));
    this.#socket = socket;
    const send = (type: string, data: object) => socket.send(JSON.stringify({ type, data }));
    let wasWelcome = false;
    let missing = 2;
    const confirm = () => {
      if (--missing > 0) return;
      this.#isReady = true;
      if (this.#session !== undefined) this.#session.wasReady = true;
      this.#onReady?.();
    };
    socket.on("open", () => send("hello", { version: 2, session: this.#session?.secret }));
    socket.on("message", (bytes: Buffer) => {
      const { type, data = {}, event } = JSON.parse(bytes.toString()) as ClientFrame;
      if (type === "welcome") {
        wasWelcome = true;
        this.#welcome(data, lostMs);
        const { connectionId: itemId = "" } = data;
        send("join", {
          subscriptionId: "s",
          streamName: "rooms",
          groupId: room,
          presence: { room },
        });
        const item = { streamName: "cursors", groupId: room, itemId, data: room };
        send("call", { id: 1, method: "Set", params: { ...item, whileConnected: true } });
      } else if (type === "result" && data.error === undefined) confirm();
      else if (event?.type === "sync") confirm();
      else if (type === "result" || event?.type === "error") {
        const reason = data.error?.reason ?? event?.reason ?? "";
        // A process that is out of touch with the fleet: the client comes back at another one.
        if (!RETRIED.includes(reason)) book.faults.push(`${room}: a client got ${reason}`);
        socket.terminate();
      }
    });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.on("close", resolve));
    return wasWelcome;
  }

  #welcome(
    { connectionId = "", session: secret = "", resumed }: ClientFrame["data"] & {},
    lostMs: number,
  ) {
    const { book, timeoutMs, room } = this.#options;
    const before = this.#session;
    const wasReady = resumed === true && before?.wasReady === true;
    if (resumed === true) {
      book.counts.resumed++;
      if (connectionId !== before?.connectionId)
        book.faults.push(`${room}: ${before?.connectionId} was resumed as ${connectionId}`);
    } else if (before !== undefined) {
      const tookMs = performance.now() - lostMs;
      if (tookMs < timeoutMs)
        book.faults.push(`${room}: ${before.connectionId} was not resumed after ${tookMs} ms`);
      book.counts.late++;
      this.#giveUp(true);
    }
    this.#session = { secret, connectionId, wasReady };
    book.open.set(connectionId, room);
  }

  #giveUp(isLate: boolean): void {
    const session = this.#session;
    if (session === undefined) return;
    const { book } = this.#options;
    book.open.delete(session.connectionId);
    const { wasReady } = session;
    book.over.set(session.connectionId, { atMs: performance.now(), wasReady, isLate });
    this.#session = undefined;
  }
}

/** Reasons of failures after which a client comes back. */
const RETRIED = ["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN", "SHUTTING_DOWN", "OVERLOADED"];
