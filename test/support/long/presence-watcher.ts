import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import type { Position } from "../../../src/core/position.ts";
import { type BridgeFrame, framePosition, readBridgeFrame, syncItems } from "../bridge-frame.ts";

/** Dependencies of a watcher. */
export interface PresenceWatcherOptions {
  /** URLs of the processes that are up. The watcher uses that of its own number. */
  readonly urls: () => readonly string[];
  readonly number: number;
  readonly room: string;
  /** Called after each frame. */
  readonly onFrame: () => void;
}

/**
 * Follows who is present in a room, and resumes whenever its connection is lost. It checks that
 * each item comes and goes once, in order, without gaps and repetitions.
 */
export class PresenceWatcher {
  readonly room: string;
  /** Connections that are present. */
  readonly present = new Set<string>();
  /** When connections were first seen to be gone, by the clock of `performance`. */
  readonly gone = new Map<string, number>();
  /** Violations: a sentence each. */
  readonly faults: string[] = [];
  changes = 0;
  syncs = 0;
  readonly #options: PresenceWatcherOptions;
  #position: Position | undefined;
  #socket: WebSocket | undefined;
  #isStopped = false;
  readonly #over: Promise<void>;

  constructor(options: PresenceWatcherOptions) {
    this.#options = options;
    this.room = options.room;
    this.#over = this.#run();
  }

  /** Destroys its socket without a close frame. */
  cut(): void {
    this.#socket?.terminate();
  }

  /** Ends it. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#socket?.terminate();
    await this.#over;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      await this.#live();
      if (!this.#isStopped) await sleep(50);
    }
  }

  async #live(): Promise<void> {
    const { urls, number } = this.#options;
    const all = urls();
    const url = all[number % all.length] as string;
    const socket = new WebSocket(url.replace("http", "ws"));
    this.#socket = socket;
    socket.on("open", () => {
      const group = { streamName: "millrace:presence:rooms", groupId: this.room };
      const data = { ...group, subscriptionId: "w", heartbeat: true, resume: this.#position };
      socket.send(JSON.stringify({ type: "join", data }));
    });
    socket.on("message", (bytes: Buffer) => {
      if (socket.readyState !== WebSocket.OPEN) return;
      this.#take(readBridgeFrame(bytes), socket);
      this.#options.onFrame();
    });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.on("close", resolve));
  }

  #take(frame: BridgeFrame, socket: WebSocket): void {
    const { type, reason } = frame.event;
    if (type === "error" || type === "unauthorized") {
      if (reason !== "STORE_UNAVAILABLE") this.#fault(`ended with ${reason}`);
      return socket.terminate();
    }
    const position = framePosition(frame);
    if (type === "sync") return this.#sync(frame, position);
    if (type === "resumed" || type === "heartbeat") {
      if (!isAt(this.#position, position)) this.#fault(`${type} at ${textOf(position)}`);
      return;
    }
    this.changes++;
    const { epoch, revision } = this.#position ?? position;
    // A group that never had an item has no epoch yet.
    const isSameEpoch = epoch === "" || position.epoch === epoch;
    if (!isSameEpoch || position.revision !== revision + 1)
      this.#fault(`${textOf(position)} after ${textOf(this.#position)}`);
    this.#position = position;
    const { id } = frame;
    if (id === null) return this.#fault(`a ${type} of nothing`);
    const isPresent = this.present.has(id);
    if (type === "create") {
      if (isPresent || this.gone.has(id)) this.#fault(`${id} came again`);
      this.present.add(id);
    } else if (type === "delete") {
      if (!isPresent) this.#fault(`${id} went again`);
      if (frame.event.cause !== "disconnected") this.#fault(`${id} went by ${frame.event.cause}`);
      this.#leave(id);
    } else this.#fault(`a ${type} of ${id}`);
  }

  #sync(frame: BridgeFrame, position: Position): void {
    const before = this.#position;
    if (before?.epoch === position.epoch && position.revision < before.revision)
      this.#fault(`a sync at ${textOf(position)} after ${textOf(before)}`);
    this.#position = position;
    this.syncs++;
    const shown = new Set(syncItems(frame).map(({ itemId }) => itemId));
    for (const id of Array.from(this.present)) if (!shown.has(id)) this.#leave(id);
    for (const id of shown) {
      if (this.gone.has(id)) this.#fault(`${id} came again`);
      this.present.add(id);
    }
  }

  #leave(id: string): void {
    this.present.delete(id);
    this.gone.set(id, performance.now());
  }

  #fault(what: string): void {
    this.faults.push(`${this.room}, watcher ${this.#options.number}: ${what}`);
  }
}

function isAt(a: Position | undefined, b: Position): boolean {
  return a?.epoch === b.epoch && a.revision === b.revision;
}

function textOf(position: Position | undefined): string {
  return position === undefined ? "nothing" : `${position.epoch}/${position.revision}`;
}
