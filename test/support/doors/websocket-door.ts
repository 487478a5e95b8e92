import { once } from "node:events";
import type { Item, StreamDelta, StreamFrame } from "millrace";
import { WebSocket } from "ws";
import { type BridgeFrame, framePosition, readBridgeFrame, syncItems } from "../bridge-frame.ts";
import { AsyncQueue } from "./async-queue.ts";
import {
  type Door,
  type DoorClient,
  DoorError,
  type Frames,
  type SubscribeRequest,
} from "./door.ts";
import { libraryDoor } from "./library-door.ts";

/**
 * The bridge for browsers, with all extensions. It serves subscriptions; other calls use the
 * library. Snapshots have items with a window, values and ids without.
 */
export const websocketDoor = socketDoor("websocket", "");

/** The same, with compressed deltas. */
export const compressingSocketDoor = socketDoor("websocket, compressed", "/?compress=deltas");

function socketDoor(name: string, path: string): Door {
  return {
    name,
    can: { deadlines: false, write: "no", details: false },
    client(target): DoorClient {
      const sockets = new Set<WebSocket>();
      return {
        ...libraryDoor.client(target),
        async subscribe(request) {
          const { authorization } = target;
          const headers = authorization === undefined ? {} : { authorization };
          const socket = new WebSocket(target.url.replace("http", "ws") + path, { headers });
          sockets.add(socket.once("close", () => sockets.delete(socket)));
          return subscribe(socket, request);
        },
        async close() {
          for (const socket of sockets) socket.terminate();
        },
      };
    },
  };
}

/** One subscription on a separate socket. */
function subscribe(socket: WebSocket, request: SubscribeRequest): Frames {
  const { streamName, groupId, itemId, resumeFrom: resume, deltas, window } = request;
  const received = new AsyncQueue<StreamFrame | StreamDelta | DoorError>();
  let isOver = false;
  const end = (error: DoorError) => {
    if (isOver) return;
    isOver = true;
    received.push(error);
    received.end();
    socket.close();
  };
  socket.on("open", () => {
    const items = window !== undefined;
    const extensions = { resume, heartbeat: true, parts: true, deltas, items, window };
    const data = { subscriptionId: "s", streamName, groupId, id: itemId, ...extensions };
    socket.send(JSON.stringify({ type: "join", data }));
  });
  socket.on("message", (bytes: Buffer) => {
    const frame = readBridgeFrame(bytes);
    if (frame.event.type === "error") end(errorOf(frame));
    else if (frame.event.type === "unauthorized") end(unauthorized());
    else received.push(frameOf(frame));
  });
  socket.on("error", (error) => end(new DoorError("unavailable", error.message, undefined, error)));
  socket.on("close", (code, reason) => end(closedWith(code, reason.toString())));
  const frames = received[Symbol.asyncIterator]();
  return {
    async next() {
      const { done, value } = await frames.next();
      if (done === true) return { done, value: undefined };
      if (value instanceof DoorError) throw value;
      return { done: false, value };
    },
    async return() {
      isOver = true;
      received.end();
      if (socket.readyState !== WebSocket.CLOSED) {
        const closed = once(socket, "close");
        socket.terminate();
        await closed;
      }
      return { done: true, value: undefined };
    },
  };
}

/** A refusal, or an end, without a reason: a client without `hello` gets no more. */
function unauthorized(): DoorError {
  const info = { reason: "JOIN_REFUSED", metadata: {} };
  return new DoorError("permission_denied", "unauthorized", info, undefined);
}

function frameOf(frame: BridgeFrame): StreamFrame | StreamDelta {
  const { timestamp, id, event, author = "" } = frame;
  const { data = null, first = false, last = false } = event;
  switch (event.type) {
    case "sync": {
      const { truncated, olderPageToken } = event;
      const items = itemsOf(frame);
      const position = framePosition(frame);
      const sync = { kind: "sync", items, position, first, last, timestamp } as const;
      return truncated === undefined ? sync : { ...sync, truncated, olderPageToken };
    }
    case "create":
    case "update":
    case "delete": {
      const position = framePosition(frame);
      const itemId = id ?? "";
      const { type, ops, baseRevision, cause } = event;
      const change = { kind: "change", itemId, position, timestamp, author } as const;
      if (ops === undefined || baseRevision === undefined) return { ...change, type, data, cause };
      if (type !== "update" || "data" in event) throw new Error(`a ${type} with ops and data`);
      return { ...change, type, ops, baseRevision };
    }
    case "event": {
      const { type = "", data: value = null } = event.event ?? {};
      return { kind: "event", type, itemId: id ?? undefined, data: value, timestamp, author };
    }
    case "heartbeat":
      return { kind: "heartbeat", position: framePosition(frame) };
    case "resumed": {
      const position = framePosition(frame);
      return { kind: "resumed", position, head: event.head ?? position };
    }
    default:
      throw new Error(`a frame of type ${event.type}`);
  }
}

/** The items of a sync. Without `items`, they lack the details that the bridge omits. */
function itemsOf(frame: BridgeFrame): Item[] {
  const { items } = frame.event;
  const noTime = new Date(0);
  const noDetails = { revision: 0, createTime: noTime, updateTime: noTime, author: "" };
  if (items === undefined) return syncItems(frame).map((item) => ({ ...item, ...noDetails }));
  if ("data" in frame.event || "ids" in frame.event) throw new Error("a sync in two forms");
  return items.map(({ id, data, revision, createTime, updateTime, expireTime, author = "" }) => ({
    itemId: id,
    data,
    revision,
    createTime: new Date(createTime),
    updateTime: new Date(updateTime),
    author,
    expireTime: expireTime === undefined ? undefined : new Date(expireTime),
  }));
}

function errorOf({ event }: BridgeFrame): DoorError {
  const { code = "?", reason = "?", message = "" } = event;
  return new DoorError(code, message, { reason, metadata: {} }, event);
}

const CLOSE_CODES: Readonly<Record<number, readonly [code: string, reason: string]>> = {
  1001: ["unavailable", "SHUTTING_DOWN"],
  1006: ["unavailable", "?"],
  1013: ["unavailable", "STORE_UNAVAILABLE"],
  4430: ["resource_exhausted", "SLOW_SUBSCRIBER"],
};

function closedWith(closeCode: number, sentence: string): DoorError {
  const [code, reason] = CLOSE_CODES[closeCode] ?? [String(closeCode), "?"];
  return new DoorError(code, `${sentence}.`, { reason, metadata: {} }, closeCode);
}
