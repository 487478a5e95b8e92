import { WebSocket } from "ws";
import type { Position } from "../../../src/core/position.ts";
import { type BridgeFrame, framePosition, readBridgeFrame, syncItems } from "../bridge-frame.ts";
import { HeldItems, type Recorder, type SubscriptionHandle } from "../checker/index.ts";

/** The target of one subscription of a socket. */
export interface Follow {
  readonly group: string;
  readonly item?: string | undefined;
  /** Asks for deltas. */
  readonly deltas?: boolean | undefined;
}

/** Options of a socket with subscriptions. */
export interface BridgeClientOptions {
  readonly url: string;
  readonly streamName: string;
  /** One per subscription, each with a unique name. */
  readonly recorder: (index: number) => Recorder;
  readonly follows: readonly Follow[];
  /** It does not always read: the times of its frames are not checked. */
  readonly slow?: boolean | undefined;
  /** It stops reading after its joins, before its snapshots arrive. */
  readonly stallsAtOnce?: boolean | undefined;
  /** Header of its handshake. Default: none. */
  readonly authorization?: string | undefined;
  /** Prefix of its subscription ids, for tests that need unique ids. Default: none. */
  readonly idPrefix?: string | undefined;
}

interface Following extends Follow {
  readonly handle: SubscriptionHandle;
  position: Position | undefined;
  /** Whether it has received its whole snapshot. */
  isOpen: boolean;
  isOver: boolean;
}

/** A socket with several subscriptions. It records all frames that they receive. */
export class BridgeClient {
  /** Resolves when every subscription has its state, or the socket stalls. */
  readonly ready: Promise<void>;
  /** Resolves with the close code. */
  readonly closed: Promise<number>;
  readonly #socket: WebSocket;
  readonly #followings: Following[];
  readonly #byGroup = new Map<string, Following[]>();
  readonly #idPrefix: string;
  #waiting: number;
  #onReady = () => {};
  #left = false;
  #isClosed = false;

  constructor(options: BridgeClientOptions) {
    const { url, streamName, recorder, follows, slow, stallsAtOnce, authorization } = options;
    this.#followings = follows.map(({ group, item, deltas }, i) => ({
      group,
      item,
      handle: recorder(i).subscribe({
        ...{ group, item, slow },
        deltas: deltas === true ? new HeldItems() : undefined,
      }),
      position: undefined,
      isOpen: false,
      isOver: false,
    }));
    for (const following of this.#followings) {
      const all = this.#byGroup.get(following.group) ?? [];
      this.#byGroup.set(following.group, [...all, following]);
    }
    this.#waiting = follows.length;
    this.#idPrefix = options.idPrefix ?? "";
    this.ready = new Promise((resolve) => (this.#onReady = resolve));
    const headers = authorization === undefined ? {} : { authorization };
    const socket = new WebSocket(url.replace("http", "ws"), { headers });
    this.#socket = socket;
    socket.on("open", () => {
      for (const [i, { group: groupId, item: id, deltas }] of follows.entries()) {
        const data = { subscriptionId: `${this.#idPrefix}${i}`, streamName, groupId, id };
        const extensions = { heartbeat: true, parts: true, deltas };
        socket.send(JSON.stringify({ type: "join", data: { ...data, ...extensions } }));
      }
      if (stallsAtOnce !== true) return;
      socket.pause();
      this.#onReady();
    });
    socket.on("message", (bytes: Buffer) => this.#take(readBridgeFrame(bytes)));
    // A failed connection also emits close.
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => {
      socket.on("close", (code) => {
        this.#isClosed = true;
        for (const { handle, isOver } of this.#followings)
          if (!isOver) handle.end(this.#left ? "client" : "server", { code: String(code) });
        this.#onReady();
        resolve(code);
      });
    });
  }

  /** Whether the service closed it. */
  get endedByService(): boolean {
    return this.#isClosed && !this.#left;
  }

  /** Stops reading. */
  pause(): void {
    this.#socket.pause();
  }

  /** Reads again. */
  resume(): void {
    this.#socket.resume();
  }

  /** Whether every subscription has reached these positions, or is over. */
  isUpTo(heads: ReadonlyMap<string, Position>): boolean {
    if (this.#isClosed) return true;
    return this.#followings.every(({ group, position, isOver }) => {
      const head = heads.get(group);
      const isAtHead = position?.epoch === head?.epoch && position?.revision === head?.revision;
      return isOver || head === undefined || isAtHead;
    });
  }

  /** Closes the socket. */
  async close(): Promise<void> {
    this.#left = !this.#isClosed;
    this.#socket.resume();
    this.#socket.close();
    await this.closed;
  }

  #take(frame: BridgeFrame): void {
    const { event, subscriptionId } = frame;
    if (subscriptionId === undefined && event.type !== "error") return this.#takeEvent(frame);
    const following = this.#followings[Number(subscriptionId?.slice(this.#idPrefix.length))];
    if (following !== undefined) this.#takeOwn(following, frame);
  }

  #takeOwn(following: Following, frame: BridgeFrame): void {
    const { handle } = following;
    const { type, first = false, last = false, code = type, reason = type } = frame.event;
    // A gate or a process that is cut off from its fleet refused the join.
    if (type === "error" || type === "unauthorized") {
      following.isOver = true;
      handle.end("server", { code, reason });
      // A client all of whose subscriptions are over connects again.
      if (this.#followings.every(({ isOver }) => isOver)) this.#socket.close();
      return;
    }
    const position = framePosition(frame);
    if (type === "heartbeat") {
      handle.heartbeat(position);
      following.position = position;
      return;
    }
    if (type !== "sync") throw new Error(`an unexpected ${type}`);
    const { timestamp } = frame;
    const items = syncItems(frame).map(({ itemId, data }) => ({ item: itemId, value: data }));
    handle.sync({ items, position, first, last, timestamp });
    following.position = position;
    if (!last || following.isOpen) return;
    following.isOpen = true;
    if (--this.#waiting === 0) this.#onReady();
  }

  /** One frame for all subscriptions that follow its item. */
  #takeEvent({ groupId, id, timestamp, epoch = "", revision = 0, event }: BridgeFrame): void {
    const { type, data = null, ops, baseRevision } = event;
    const position = { epoch, revision };
    for (const following of this.#byGroup.get(groupId) ?? []) {
      const { item, handle, isOpen } = following;
      if (!isOpen || (item !== undefined && item !== id)) continue;
      if (event.event !== undefined) {
        const { type: name, data: value } = event.event;
        handle.event({ event: name, item: id ?? undefined, value, timestamp });
      } else if (ops !== undefined && baseRevision !== undefined) {
        handle.delta({ item: id ?? "", ops, baseRevision, position, timestamp });
        following.position = position;
      } else if (type === "create" || type === "update" || type === "delete") {
        handle.change({ change: type, item: id ?? "", value: data, position, timestamp });
        following.position = position;
      } else throw new Error(`a ${type} without a subscription`);
    }
  }
}
