import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { onTestFinished } from "vitest";
import { type ClientOptions, WebSocket } from "ws";
import type { JsonValue } from "@bufbuild/protobuf";
import type { BridgeItem } from "../support/bridge-frame.ts";
import { within } from "./within.ts";

/** A frame of the service. */
export interface Frame {
  readonly type: "stream";
  readonly timestamp: number;
  readonly epoch?: string;
  readonly revision?: number;
  readonly streamName: string;
  readonly groupId: string;
  readonly id: string | null;
  readonly subscriptionId?: string;
  readonly event: {
    readonly type: string;
    readonly data?: JsonValue;
    readonly ids?: string[];
    readonly items?: BridgeItem[];
    readonly truncated?: boolean;
    readonly olderPageToken?: string;
    readonly first?: boolean;
    readonly last?: boolean;
    readonly head?: { readonly epoch: string; readonly revision: number };
    readonly event?: { readonly type: string; readonly data: JsonValue };
    readonly code?: string;
    readonly reason?: string;
    readonly message?: string;
  };
}

/** The data of a join. */
export interface JoinData {
  readonly subscriptionId: string;
  readonly streamName: string;
  readonly groupId: string;
  readonly id?: string | null;
  readonly resume?: { readonly epoch: string | undefined; readonly revision: number | undefined };
  readonly heartbeat?: boolean;
  readonly parts?: boolean;
  readonly items?: boolean;
  readonly window?: number;
}

/** A client's socket. */
export interface Line {
  readonly socket: WebSocket;
  /** Every frame received, in order. */
  readonly frames: readonly Frame[];
  /** The code that the socket was closed with. */
  readonly closed: Promise<number>;
  join(data: JoinData): void;
  leave(subscriptionId: string): void;
  /** Resolves with all frames so far, as soon as the condition holds for them. */
  until(what: string, holds: (frames: readonly Frame[]) => boolean): Promise<readonly Frame[]>;
  /** Resolves with all frames so far, as soon as there are `frames` of them. */
  count(frames: number): Promise<readonly Frame[]>;
}

/** Opens a socket, which ends with the test. */
export async function connect(
  url: string,
  path: string,
  { protocols = [], ...options }: ClientOptions & { protocols?: string[] } = {},
): Promise<Line> {
  const socket = new WebSocket(`${url.replace("http", "ws")}${path}`, protocols, options);
  onTestFinished(() => socket.terminate());
  const frames: Frame[] = [];
  let closedWith: number | undefined;
  const checks = new Set<() => void>();
  const check = () => {
    for (const each of checks) each();
  };
  socket.on("message", (data: Buffer, isBinary) => {
    if (isBinary) throw new Error("The service sends text only.");
    frames.push(JSON.parse(data.toString()) as Frame);
    check();
  });
  socket.on("close", (code) => {
    closedWith = code;
    check();
  });
  /** Resolves when the condition holds, which is checked after every frame and at the close. */
  const when = async (what: string, holds: () => boolean) => {
    let look = () => {};
    const done = new Promise<void>((resolve, reject) => {
      look = () => {
        if (holds()) resolve();
        else if (closedWith !== undefined) reject(new Error(`Closed with ${closedWith}: ${what}.`));
      };
    });
    checks.add(look);
    look();
    try {
      await within(done, () => `${what}; it had ${JSON.stringify(frames).slice(0, 2000)}`);
    } finally {
      checks.delete(look);
    }
  };
  const until: Line["until"] = async (what, holds) => {
    await when(what, () => holds(frames));
    return frames;
  };
  await within(
    new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.on("error", reject);
    }),
    () => `${path} to open`,
  );
  const send = (frame: unknown) => socket.send(JSON.stringify(frame));
  return {
    socket,
    frames,
    get closed() {
      return when("a close", () => closedWith !== undefined).then(() => closedWith ?? 0);
    },
    join: (data) => send({ type: "join", data }),
    leave: (subscriptionId) => send({ type: "leave", data: { subscriptionId } }),
    until,
    count: async (count) => until(`${count} frames`, () => frames.length >= count),
  };
}

/** The response to an upgrade request: status, headers and, of a refusal, the sentence. */
export async function upgrade(
  url: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: IncomingMessage["headers"]; sentence: string }> {
  // The path is passed separately, because a URL would be normalised.
  const request: ClientRequest = httpRequest(url, {
    path,
    agent: false,
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": Buffer.alloc(16, 7).toString("base64"),
      ...headers,
    },
  });
  onTestFinished(() => {
    request.destroy();
  });
  const responded = new Promise<{ response: IncomingMessage; sentence: string }>(
    (resolve, reject) => {
      request.on("error", reject);
      request.on("upgrade", (response, socket) => {
        socket.destroy();
        resolve({ response, sentence: "" });
      });
      request.on("response", (response) => {
        let sentence = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => (sentence += text));
        response.on("end", () => resolve({ response, sentence }));
      });
    },
  );
  request.end();
  const { response, sentence } = await within(responded, () => `a response to ${path}`);
  return { status: response.statusCode ?? 0, headers: response.headers, sentence };
}

/** The types of frames, in order, each with its item. */
export function story(frames: readonly Frame[]): string[] {
  return frames.map(({ id, event }) => (id === null ? event.type : `${event.type} ${id}`));
}
