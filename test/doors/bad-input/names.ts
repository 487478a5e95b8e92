import type { JsonObject } from "@bufbuild/protobuf";
import type { Method } from "../../support/doors/raw-protocol.ts";
import { NOT_UTF8, joined, part, utf8 } from "../../wire/request/raw-wire.ts";
import { GROUP, KEY, type Row, jsonOnly, message } from "./row.ts";

const FIELDS = [
  ["stream_name", "streamName", 1],
  ["group_id", "groupId", 2],
  ["item_id", "itemId", 3],
] as const;

const BAD: readonly (readonly [string, string])[] = [
  ["empty", ""],
  ["of 257 bytes", "x".repeat(257)],
  ["of 257 bytes in 129 characters", `${"é".repeat(128)}x`],
  ["of a million bytes", "x".repeat(1_000_000)],
  ["with U+0000", "a\u0000b"],
  ["with U+0007", "\u0007"],
  ["with U+007F", "a\u007f"],
  ["with U+0085", "a\u0085b"],
  ["with a line feed", "a\nb"],
];

const refused = (field: string) =>
  ({
    reason: "NAME_INVALID",
    field,
    says: /it may be 1 to 256 bytes of UTF-8 without control characters/,
  }) as const;

/** Invalid names, in each field of a set. */
const IN_SET: readonly Row[] = FIELDS.flatMap(([field, jsonField]): Row[] => [
  ...BAD.map(([what, name]): Row => ({
    title: `${field} ${what}`,
    ...message("set", { ...KEY, data: 1, [jsonField]: name }),
    ...refused(field),
  })),
  {
    title: `${field} missing`,
    ...message("set", without({ ...KEY, data: 1 }, jsonField)),
    ...refused(field),
  },
  {
    title: `${field} with a lone surrogate`,
    ...jsonOnly(
      "set",
      JSON.stringify({ ...KEY, data: 1, [jsonField]: "a?" }).replace("?", "\\ud800"),
    ),
    ...refused(field),
  },
  {
    title: `${field} of another type`,
    method: "set",
    json: JSON.stringify({ ...KEY, data: 1, [jsonField]: 5 }),
    library: { ...KEY, data: 1, [jsonField]: 5 },
    ...refused(field),
  },
  ...NOT_UTF8.map((bytes, i): Row => {
    const [before = "", after = ""] = JSON.stringify({ ...KEY, data: 1, [jsonField]: "?" }).split(
      "?",
    );
    const names = FIELDS.map(([, each, n]) => part(n, each === jsonField ? bytes : KEY[each]));
    return {
      title: `${field} that is not UTF-8 (${i})`,
      method: "set",
      json: joined(utf8(before), bytes, utf8(after)),
      binary: joined(...names, part(4, part(3, "data"))),
      ...refused(field),
    };
  }),
]);

/** An invalid name in each field of each other method. */
const METHODS: Partial<Record<Method, readonly (readonly [string, JsonObject])[]>> = {
  get: all(KEY),
  update: all({ ...KEY, ops: [] }),
  delete: all(KEY),
  send: all({ ...KEY, data: 1 }),
  list: all(GROUP),
  history: all(KEY),
  listGroups: all({ streamName: "s" }),
  batch: all({ ...GROUP, mutations: [{ set: { itemId: "a", data: 1 } }] }),
  subscribe: all(KEY),
};

const IN_OTHERS: readonly Row[] = Object.entries(METHODS).flatMap(([method, rows]) =>
  rows.map(([field, json]): Row => ({
    title: `${field} with U+0007 in ${method}`,
    ...message(method as Method, json),
    ...refused(field),
  })),
);

const IN_MUTATIONS: readonly Row[] = (["set", "update", "delete"] as const).map((kind) => ({
  title: `an empty item_id in a ${kind} of a batch`,
  ...message("batch", {
    ...GROUP,
    mutations: [
      { set: { itemId: "new", data: 1 } },
      { [kind]: kind === "set" ? { itemId: "", data: 1 } : { itemId: "" } },
    ],
  }),
  ...(kind === "update"
    ? {
        library: {
          ...GROUP,
          mutations: [{ set: { itemId: "new", data: 1 } }, { update: { itemId: "", ops: [] } }],
        },
      }
    : {}),
  ...refused(`mutations[1].${kind}.item_id`),
  metadata: { index: "1" },
}));

/** Bad names. */
export const NAMES: readonly Row[] = [...IN_SET, ...IN_OTHERS, ...IN_MUTATIONS];

function all(json: JsonObject): (readonly [string, JsonObject])[] {
  return FIELDS.filter(([, jsonField]) => jsonField in json).map(([field, jsonField]) => [
    field,
    { ...json, [jsonField]: "a\u0007" },
  ]);
}

function without(json: JsonObject, field: string): JsonObject {
  return Object.fromEntries(Object.entries(json).filter(([name]) => name !== field));
}
