import { WebSocket } from "ws";
import { CLOSE } from "../../../src/bridge/close-codes.ts";
import { type BridgeFrame, readBridgeFrame } from "../bridge-frame.ts";
import { type Door, DoorError, type DoorTarget } from "../doors/door.ts";
import { doorNamed } from "../doors/doors.ts";

/** What to follow. */
export interface Wanted {
  readonly streamName: string;
  readonly groupId: string;
  readonly itemId: string;
}

/** A way to follow something, as somebody sees it who may not be let in. */
export interface Entrance {
  readonly name: string;
  /** How many callers and how many joins there are in what is followed first. */
  readonly asks: { readonly auth: number; readonly join: number };
  /** How a caller is turned away who may not come. */
  readonly stranger: string;
  /** How a caller is turned away from what they may not follow. */
  readonly unwanted: (wanted: Wanted) => string;
  /** Comes to the entrance. The caller closes the visit. */
  visit(target: DoorTarget): Visit;
}

/** Somebody at an entrance. */
export interface Visit {
  /**
   * Tries to follow, beside all they followed before.
   *
   * @returns in words, each thing that is heard until it is certain whether they may: `in: ...` when
   *   they are let in. What is heard late is in the next answer.
   */
  follow(wanted: Wanted): Promise<string[]>;
  close(): Promise<void>;
}

const ORIGIN = { epoch: "", revision: 0 };

/** Every entrance. */
export const ENTRANCES: readonly Entrance[] = [
  door("library", doorNamed("library")),
  door("grpc", doorNamed("grpc")),
  door("grpc with a deadline", doorNamed("grpc"), 60_000),
  door("grpc-web", doorNamed("grpc-web")),
  door("connect h1 json", doorNamed("connect-h1-json")),
  door("connect h2 binary", doorNamed("connect-h2-binary")),
  socket("websocket path", 1, ({ streamName, groupId, itemId }) =>
    ["/stream", streamName, groupId, itemId].join("/"),
  ),
  socket("websocket join", 2),
];

/** Follows twice side by side: from scratch, and from a position that would be honoured. */
function door(name: string, door: Door, timeoutMs?: number): Entrance {
  const options = timeoutMs === undefined ? undefined : { timeoutMs };
  return {
    name,
    asks: { auth: 2, join: 2 },
    stranger: "unauthenticated AUTH_REFUSED",
    unwanted: () => "permission_denied JOIN_REFUSED",
    visit(target) {
      const client = door.client(target);
      const attempt = async (request: Parameters<typeof client.subscribe>[0]) => {
        try {
          const frames = await client.subscribe(request, options);
          const { value } = await frames.next();
          await frames.return();
          return `in: ${value?.kind} ${request.groupId}`;
        } catch (error) {
          if (error instanceof DoorError) return `${error.code} ${error.reason}`;
          throw error;
        }
      };
      return {
        follow: async (wanted) =>
          Promise.all([attempt(wanted), attempt({ ...wanted, resumeFrom: ORIGIN })]),
        close: () => client.close(),
      };
    },
  };
}

/**
 * Follows what the URL asks for, if there is a path for it, and then by joins, of which one resumes.
 *
 * @param joins How many joins there are in what is followed first.
 */
function socket(name: string, joins: number, path?: (wanted: Wanted) => string): Entrance {
  return {
    name,
    asks: { auth: 1, join: joins },
    stranger: "HTTP 401",
    unwanted: ({ streamName, groupId, itemId }) =>
      `unauthorized ${streamName} ${groupId} ${itemId}`,
    visit(target) {
      let socket: WebSocket | undefined;
      let heard: string[] = [];
      let look = () => {};
      /** Comes again with what is being asked for, as clients of the original dialect do. */
      let comeBack = () => {};
      const hear = (words: string) => {
        heard.push(words);
        look();
      };
      const open = (at: string) => {
        const opened = new WebSocket(target.url.replace("http", "ws") + at);
        opened.on("unexpected-response", (request, { statusCode }) => {
          hear(`HTTP ${statusCode}`);
          request.destroy();
        });
        opened.on("error", () => {});
        opened.on("close", (code) => {
          if (code === CLOSE.TRY_AGAIN_LATER) comeBack();
          else hear(`closed ${code}`);
        });
        opened.on("message", (bytes: Buffer) => hear(wordsOf(readBridgeFrame(bytes))));
        return opened;
      };
      const end = (ended: WebSocket | undefined) => {
        ended?.removeAllListeners("close");
        ended?.terminate();
      };
      return {
        async follow(wanted) {
          let frames = [joinOf(wanted, "plain"), joinOf(wanted, "resumed", ORIGIN)];
          const come = () => {
            end(socket);
            const opened = open(path?.(wanted) ?? "/");
            if (path !== undefined) frames = [];
            opened.on("open", () => {
              for (const frame of frames) opened.send(frame);
            });
            socket = opened;
          };
          if (socket?.readyState === WebSocket.OPEN) {
            for (const frame of frames) socket.send(frame);
            comeBack = come;
          } else come();
          await new Promise<void>((resolve) => {
            look = () => {
              const isTurnedAway = heard.some((each) => /^(?:HTTP|closed)/.test(each));
              if (isTurnedAway || heard.length >= Math.max(1, frames.length)) resolve();
            };
            look();
          });
          comeBack = () => {};
          const all = heard;
          heard = [];
          return all;
        },
        async close() {
          end(socket);
        },
      };
    },
  };
}

function joinOf({ streamName, groupId, itemId }: Wanted, id: string, resume?: object): string {
  const subscriptionId = `${id} ${groupId}`;
  const data = { streamName, groupId, id: itemId, subscriptionId, resume };
  return JSON.stringify({ type: "join", data });
}

function wordsOf({ streamName, groupId, id, subscriptionId, event }: BridgeFrame): string {
  if (event.type !== "unauthorized") return `in: ${event.type} ${groupId}`;
  return `unauthorized ${streamName} ${groupId} ${id}${subscriptionId ? "" : " without an id"}`;
}
