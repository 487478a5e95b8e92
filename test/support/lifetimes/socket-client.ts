import type { JsonValue } from "@bufbuild/protobuf";
import { type Frame, type Line, connect } from "../../bridge/line.ts";
import { first, of, send } from "../../bridge/notices.ts";

/** A group. */
export interface GroupName {
  readonly streamName: string;
  readonly groupId: string;
}

/** The result of a call over a socket. */
export interface CallResult {
  readonly id: number;
  readonly result?: Readonly<Record<string, JsonValue>>;
  readonly error?: {
    readonly code: string;
    readonly reason: string;
    readonly message: string;
    readonly metadata: Readonly<Record<string, string>>;
  };
}

/** A socket that has said hello. */
export interface SocketClient {
  readonly line: Line;
  /** The secret of its session. */
  readonly session: string;
  readonly resumed: boolean;
  readonly connectionId: string;
  /** Makes a call. */
  call(method: string, params: object): Promise<CallResult>;
  /** Sends a call, whose result is not of interest. */
  sendCall(method: string, params: object): void;
}

/** How a client connects. */
interface ClientOptions {
  /** Secret of a session to take up. */
  readonly session?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Opens a socket and says hello. It ends with the test. */
export async function openClient(
  url: string,
  { session, path = "/?user=ann", headers = {} }: ClientOptions = {},
): Promise<SocketClient> {
  const line = await connect(url, path, { headers });
  send(line, "hello", { version: 2, session });
  const { data } = await first(line, "welcome");
  let lastId = 0;
  const sendCall = (method: string, params: object) => {
    send(line, "call", { id: ++lastId, method, params });
    return lastId;
  };
  return {
    line,
    session: data["session"] as string,
    resumed: data["resumed"] as boolean,
    connectionId: data["connectionId"] as string,
    sendCall,
    async call(method, params) {
      const id = sendCall(method, params);
      const found = () => resultsOf(line).find((each) => each.id === id);
      await line.until(`the result of ${method}`, () => found() !== undefined);
      return found() as CallResult;
    },
  };
}

function resultsOf({ frames }: Line): readonly CallResult[] {
  return of(frames, "result").map((frame) => (frame as unknown as { data: CallResult }).data);
}

/** Follows a group, over a socket of its own. */
export interface GroupWatch {
  /** The ids of the group's items, as its frames say. */
  ids(): string[];
  /** The causes of the deletes of an item, in order. */
  causes(itemId: string): (string | undefined)[];
  /** Resolves when there are exactly these items, with the time, by the monotonic clock. */
  until(...ids: string[]): Promise<number>;
  /** Resolves when an item has been deleted. */
  untilDeleted(itemId: string): Promise<void>;
}

/** Joins a group, and follows it to the end of the test. */
export async function watchGroup(url: string, group: GroupName): Promise<GroupWatch> {
  const line = await connect(url, "/");
  line.join({ ...group, subscriptionId: "watch", heartbeat: true });
  await line.until("a sync", (frames) => of(frames, "sync").length > 0);
  const ids = () => {
    const present = new Set<string>();
    for (const { id, event } of line.frames) {
      if (event.type === "sync") {
        present.clear();
        for (const each of event.ids ?? []) present.add(each);
      } else if (id !== null && event.type === "delete") present.delete(id);
      else if (id !== null && (event.type === "create" || event.type === "update")) present.add(id);
    }
    return Array.from(present).toSorted();
  };
  return {
    ids,
    causes: (itemId) =>
      of(line.frames, "delete")
        .filter(({ id }) => id === itemId)
        .map(({ event }: Frame) => (event as { readonly cause?: string }).cause),
    async until(...expected) {
      const wanted = JSON.stringify(expected.toSorted());
      await line.until(`the items ${wanted}`, () => JSON.stringify(ids()) === wanted);
      return performance.now();
    },
    async untilDeleted(itemId) {
      const isIt = ({ id }: Frame) => id === itemId;
      await line.until("its delete", (frames) => of(frames, "delete").some(isIt));
    },
  };
}
