import { WebSocket } from "ws";
import { CLOSE } from "../../../src/bridge/close-codes.ts";
import { type BridgeFrame, readBridgeFrame } from "../bridge-frame.ts";
import { type Door, DoorError, type DoorTarget } from "../doors/door.ts";
import { doorNamed } from "../doors/doors.ts";

/** The target of a subscription. */
export interface Wanted {
  readonly streamName: string;
  readonly groupId: string;
  readonly itemId: string;
}

/** A way to subscribe, which gates may refuse. */
export interface EntryPoint {
  readonly name: string;
  /** Number of authentications and of joins in the first `follow`. */
  readonly calls: { readonly auth: number; readonly join: number };
  /** The refusal of an unauthenticated caller. */
  readonly unauthenticated: string;
  /** The refusal of a subscription by a gate. */
  readonly unwanted: (wanted: Wanted) => string;
  /** Connects. The caller closes the visit. */
  visit(target: DoorTarget): Visit;
}

/** A caller at an entry point. */
export interface Visit {
  /**
   * Tries to subscribe, in addition to all earlier subscriptions.
   *
   * @returns a description of each event until the outcome is certain; `in: ...` means admitted.
   *   The next result contains later events.
   */
  follow(wanted: Wanted): Promise<string[]>;
  close(): Promise<void>;
}

const ORIGIN = { epoch: "", revision: 0 };

/** Every entry point. */
export const ENTRY_POINTS: readonly EntryPoint[] = [
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

/** Subscribes twice in parallel: from scratch, and from a position that can be resumed. */
function door(name: string, door: Door, timeoutMs?: number): EntryPoint {
  const options = timeoutMs === undefined ? undefined : { timeoutMs };
  return {
    name,
    calls: { auth: 2, join: 2 },
    unauthenticated: "unauthenticated AUTH_REFUSED",
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
 * Subscribes by the path of the URL, if given, and then by joins, one of which resumes.
 *
 * @param joins Number of joins in the first `follow`.
 */
function socket(name: string, joins: number, path?: (wanted: Wanted) => string): EntryPoint {
  return {
    name,
    calls: { auth: 1, join: joins },
    unauthenticated: "HTTP 401",
    unwanted: ({ streamName, groupId, itemId }) =>
      `unauthorized ${streamName} ${groupId} ${itemId}`,
    visit(target) {
      let socket: WebSocket | undefined;
      let received: string[] = [];
      let notify = () => {};
      /** Reconnects for the requested subscription, like clients of the original dialect. */
      let reconnect = () => {};
      const receive = (description: string) => {
        received.push(description);
        notify();
      };
      const open = (at: string) => {
        const opened = new WebSocket(target.url.replace("http", "ws") + at);
        opened.on("unexpected-response", (request, { statusCode }) => {
          receive(`HTTP ${statusCode}`);
          request.destroy();
        });
        opened.on("error", () => {});
        opened.on("close", (code) => {
          if (code === CLOSE.TRY_AGAIN_LATER) reconnect();
          else receive(`closed ${code}`);
        });
        opened.on("message", (bytes: Buffer) => receive(describeFrame(readBridgeFrame(bytes))));
        return opened;
      };
      const end = (ended: WebSocket | undefined) => {
        ended?.removeAllListeners("close");
        ended?.terminate();
      };
      return {
        async follow(wanted) {
          let frames = [joinOf(wanted, "plain"), joinOf(wanted, "resumed", ORIGIN)];
          const connect = () => {
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
            reconnect = connect;
          } else connect();
          await new Promise<void>((resolve) => {
            notify = () => {
              const isRefused = received.some((each) => /^(?:HTTP|closed)/.test(each));
              if (isRefused || received.length >= Math.max(1, frames.length)) resolve();
            };
            notify();
          });
          reconnect = () => {};
          const all = received;
          received = [];
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

function describeFrame({ streamName, groupId, id, subscriptionId, event }: BridgeFrame): string {
  if (event.type !== "unauthorized") return `in: ${event.type} ${groupId}`;
  return `unauthorized ${streamName} ${groupId} ${id}${subscriptionId ? "" : " without an id"}`;
}
