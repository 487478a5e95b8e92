import { once } from "node:events";
import { type JsonValue, fromJson, toJson } from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import { type Door, DoorError, type DoorTarget } from "./door.ts";
import { libraryDoor } from "./library-door.ts";
import { type Stub, rpcClient } from "./rpc-client.ts";
import { websocketDoor } from "./websocket-door.ts";

/** A result, as it is received. */
interface Result {
  readonly id: number;
  readonly result?: JsonValue;
  readonly error?: {
    readonly code: string;
    readonly reason: string;
    readonly message: string;
    readonly metadata: Readonly<Record<string, string>>;
  };
}

/** Calls over a socket that said hello. Subscriptions are those of the websocket door. */
export const socketCallDoor: Door = {
  name: "socket-calls",
  can: { deadlines: false, write: "no", details: false },
  client(target) {
    const followers = websocketDoor.client(target);
    const stub = socketStub(target);
    return {
      ...rpcClient(stub),
      // No socket can ask for what the whole service holds.
      listAll: libraryDoor.client(target).listAll,
      subscribe: (request, options) => followers.subscribe(request, options),
      async close() {
        await stub.close();
        await followers.close();
      },
    };
  },
};

function socketStub({ url, authorization }: DoorTarget): Stub {
  const waiting = new Map<number, (result: Result) => void>();
  let lastId = 0;
  let opening: Promise<WebSocket> | undefined;
  const open = async () => {
    const headers = authorization === undefined ? {} : { authorization };
    const socket = new WebSocket(url.replace("http", "ws"), { headers });
    await once(socket, "open");
    socket.on("message", (bytes: Buffer) => {
      const { type, data } = JSON.parse(bytes.toString()) as { type: string; data: Result };
      if (type !== "result") return;
      waiting.get(data.id)?.(data);
      waiting.delete(data.id);
    });
    socket.on("close", (code) => {
      const error = { code: "unavailable", reason: "?", message: `closed: ${code}`, metadata: {} };
      for (const [id, resolve] of waiting) resolve({ id, error });
      waiting.clear();
    });
    socket.send(JSON.stringify({ type: "hello", data: { version: 2 } }));
    return socket;
  };
  return {
    async unary(method, request) {
      const socket = await (opening ??= open());
      const id = ++lastId;
      const done = new Promise<Result>((resolve) => waiting.set(id, resolve));
      const params = toJson(method.input, request);
      socket.send(JSON.stringify({ type: "call", data: { id, method: method.name, params } }));
      const { result, error } = await done;
      if (error !== undefined) {
        const { code, reason, message, metadata } = error;
        throw new DoorError(code, message, { reason, metadata }, error);
      }
      return fromJson(method.output, result ?? null);
    },
    serverStream() {
      throw new Error("subscriptions are joins");
    },
    bidiStream() {
      throw new Error("there are no write streams");
    },
    toError: (error) =>
      error instanceof DoorError
        ? error
        : new DoorError("unavailable", (error as Error).message, undefined, error),
    async close() {
      (await opening?.catch(() => undefined))?.terminate();
    },
  };
}
