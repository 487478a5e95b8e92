import type { JsonValue } from "@bufbuild/protobuf";
import { isDeepStrictEqual } from "node:util";
import { type Frame, type Line, connect } from "../../bridge/line.ts";
import { of, send } from "../../bridge/notices.ts";
import type { GroupName, SocketClient } from "../lifetimes/socket-client.ts";

/** An item of presence. */
export interface Shown {
  readonly id: string;
  readonly user: string | null;
  readonly data: JsonValue;
  readonly since: number;
}

/** The group that shows who is present in another one. */
export const presenceOf = ({ streamName, groupId }: GroupName): GroupName => ({
  streamName: `millrace:presence:${streamName}`,
  groupId,
});

/** Joins a group. Resolves when its first frame has come. */
export async function joinWith(
  { line }: Pick<SocketClient, "line">,
  group: GroupName,
  presence?: JsonValue,
  subscriptionId = "s",
): Promise<void> {
  const synced = () =>
    of(line.frames, "sync").filter((frame) => frame.subscriptionId === subscriptionId).length;
  const before = synced();
  send(line, "join", { ...group, subscriptionId, presence });
  await line.until("a sync", () => synced() > before);
}

/** Changes what a subscription shows. */
export function changeTo(
  { line }: Pick<SocketClient, "line">,
  data: JsonValue,
  subscriptionId = "s",
): void {
  send(line, "presence", { subscriptionId, data });
}

/** Follows who is present in a group, over a socket of its own. */
export interface PresenceWatch {
  readonly line: Line;
  /** What is shown, by the ids of connections. */
  shown(): ReadonlyMap<string, Shown>;
  /** The types of all changes, in order. */
  changes(): string[];
  /** The causes of the deletes of an item, in order. */
  causes(id: string): (string | undefined)[];
  /** Resolves when exactly these connections are present, with the time, by the monotonic clock. */
  until(...ids: string[]): Promise<number>;
  /** Resolves when a connection shows something. */
  untilShown(id: string, data: JsonValue): Promise<Shown>;
}

/** Follows who is present in a group, to the end of the test. */
export async function watchPresence(
  url: string,
  group: GroupName,
  path = "/",
): Promise<PresenceWatch> {
  const line = await connect(url, path);
  line.join({ ...presenceOf(group), subscriptionId: "watch", heartbeat: true });
  await line.until("a sync", (frames) => of(frames, "sync").length > 0);
  const shown = () => {
    const present = new Map<string, Shown>();
    for (const { id, event } of line.frames) {
      if (event.type === "sync") {
        present.clear();
        for (const each of event.data as unknown as Shown[]) present.set(each.id, each);
      } else if (id !== null && event.type === "delete") present.delete(id);
      else if (id !== null && (event.type === "create" || event.type === "update"))
        present.set(id, event.data as unknown as Shown);
    }
    return present;
  };
  return {
    line,
    shown,
    changes: () =>
      line.frames
        .filter(({ event }) => ["create", "update", "delete"].includes(event.type))
        .map(({ event }) => event.type),
    causes: (id) =>
      of(line.frames, "delete")
        .filter((frame) => frame.id === id)
        .map(({ event }: Frame) => (event as { readonly cause?: string }).cause),
    async until(...expected) {
      const wanted = JSON.stringify(expected.toSorted());
      const ids = () => JSON.stringify(Array.from(shown().keys()).toSorted());
      await line.until(`the connections ${wanted}`, () => ids() === wanted);
      return performance.now();
    },
    async untilShown(id, data) {
      const isShown = () => isDeepStrictEqual(shown().get(id)?.data, data);
      await line.until(`${id} to show ${JSON.stringify(data)}`, isShown);
      return shown().get(id) as Shown;
    },
  };
}
