import type { JsonObject } from "@bufbuild/protobuf";
import type { Method } from "../../support/doors/raw-protocol.ts";
import { type Row, message } from "./row.ts";

const NAMES = ["millrace:presence:chat", "millrace:anything", "millrace:"];
const ITEM = { groupId: "g", itemId: "i" };

/** Every write, of a stream. */
const writesOf = (streamName: string): readonly (readonly [Method, JsonObject])[] => [
  ["set", { ...ITEM, streamName, data: 1 }],
  ["update", { ...ITEM, streamName, ops: [] }],
  ["delete", { ...ITEM, streamName }],
  ["batch", { groupId: "g", streamName, mutations: [{ delete: { itemId: "i" } }] }],
  ["send", { groupId: "g", streamName, data: 1 }],
];

const refused = (action: string, streamName: string) => ({
  code: "permission_denied",
  reason: "ACTION_DENIED",
  metadata: { action, stream_name: streamName, group_id: "g" },
  says: /^stream_name begins with millrace:, .* it may be any other name\.$/,
});

/** Writes of streams of the service itself, by callers who may do everything. */
export const RESERVED: readonly Row[] = [
  ...NAMES.flatMap((streamName) =>
    writesOf(streamName).map(([method, json]): Row => ({
      title: `${method} of the stream ${streamName}`,
      ...message(method, json),
      ...refused(method === "send" ? "send" : "write", streamName),
    })),
  ),
  ...writesOf("millrace:dead-letters")
    .filter(([method]) => method !== "delete" && method !== "batch")
    .map(([method, json]): Row => ({
      title: `${method} of dead letters`,
      ...message(method, json),
      ...refused(method === "send" ? "send" : "write", "millrace:dead-letters"),
    })),
  {
    title: "batch of dead letters that does more than delete",
    ...message("batch", {
      groupId: "g",
      streamName: "millrace:dead-letters",
      mutations: [{ delete: { itemId: "i" } }, { set: { itemId: "j", data: 1 } }],
    }),
    ...refused("write", "millrace:dead-letters"),
  },
];
