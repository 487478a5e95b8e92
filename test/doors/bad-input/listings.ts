import { joined, part, varint } from "../../wire/request/raw-wire.ts";
import { GROUP, type Row, jsonOnly, message } from "./row.ts";

const invalid = (field: string) => ({ reason: "REQUEST_INVALID", field }) as const;

/** Pages and their tokens. */
const PAGES: readonly Row[] = [
  ...(["list", "history", "listGroups", "listAll"] as const).flatMap((method): Row[] => {
    const key = method === "listGroups" ? { streamName: "s" } : method === "listAll" ? {} : GROUP;
    const tokens = {
      garbage: "garbage",
      "with invalid characters": "💧\u0000",
      "that decodes to something else": Buffer.from('{"a":1}').toString("base64url"),
      "of another call": Buffer.from('[["list","other","g"],["","1"]]').toString("base64url"),
      "very long": "a".repeat(8000),
    };
    return [
      ...Object.entries(tokens).map(([what, pageToken]): Row => ({
        title: `a page token ${what} to ${method}`,
        ...message(method, { ...key, pageToken }),
        reason: "PAGE_TOKEN_INVALID",
        field: "page_token",
      })),
      {
        title: `a negative page size to ${method}`,
        ...message(method, { ...key, pageSize: -1 }),
        ...invalid("page_size"),
        says: /it may be 0 \(100 entries\) or an integer up to 1000/,
      },
      {
        title: `a fractional page size to ${method}`,
        ...jsonOnly(method, JSON.stringify({ ...key, pageSize: 1.5 })),
        ...invalid("page_size"),
      },
      {
        title: `a page size beyond 32 bits to ${method}`,
        method,
        json: JSON.stringify({ ...key, pageSize: 2 ** 31 }),
        ...invalid("page_size"),
      },
    ];
  }),
];

/** Invalid ranges of a history. */
const RANGES: readonly Row[] = (["from_revision", "to_revision"] as const).flatMap(
  (field, index): Row[] => {
    const name = field === "from_revision" ? "fromRevision" : "toRevision";
    return [
      {
        title: `a negative ${field}`,
        ...jsonOnly("history", JSON.stringify({ ...GROUP, [name]: -1 })),
        ...invalid(field),
        says: /it may be an integer from 0 to 2\^53-1/,
      },
      {
        title: `a fractional ${field}`,
        ...jsonOnly("history", JSON.stringify({ ...GROUP, [name]: 1.5 })),
        ...invalid(field),
      },
      {
        title: `a ${field} over 2^53-1`,
        method: "history",
        json: JSON.stringify({ ...GROUP, [name]: "9007199254740992" }),
        binary: joined(part(1, "s"), part(2, "g"), varint(4 + index, 2n ** 53n)),
        library: { ...GROUP, [name]: 2 ** 53 },
        ...invalid(field),
      },
      {
        title: `a ${field} that is not a number`,
        ...jsonOnly("history", JSON.stringify({ ...GROUP, [name]: "first" })),
        ...invalid(field),
      },
    ];
  },
);

/** Invalid directions. */
const DIRECTIONS: readonly Row[] = (["list", "history"] as const).map((method) => ({
  title: `a direction of ${method} that is not a boolean`,
  ...jsonOnly(method, JSON.stringify({ ...GROUP, descending: "yes" })),
  ...invalid("descending"),
  says: /it may be true or false/,
}));

/** Bad listings. */
export const LISTINGS: readonly Row[] = [...PAGES, ...RANGES, ...DIRECTIONS];
