import {
  NOT_UTF8,
  double,
  joined,
  nestedLists,
  nestedStructs,
  part,
  utf8,
  varint,
} from "../../wire/request/raw-wire.ts";
import { nested, textOfBytes } from "../../support/doors/values.ts";
import { GROUP, KEY, type Row, binary, jsonOnly, message } from "./row.ts";

const MiB = 1024 * 1024;
const invalid = { reason: "VALUE_INVALID", field: "data" } as const;
const tooDeep = { reason: "VALUE_TOO_DEEP", field: "data", says: /it may have up to 30/ } as const;
const tooLarge = {
  reason: "VALUE_TOO_LARGE",
  field: "data",
  says: /it may have up to 1048576 bytes/,
} as const;

/** A set with this `data`, as JSON text. */
const withData = (text: string) => `${JSON.stringify(KEY).slice(0, -1)},"data":${text}}`;
const entry = (key: string | Uint8Array, value: Uint8Array) =>
  part(1, part(1, key), part(2, value));
const ONE = double(2, 1);

const MISSING: readonly Row[] = [
  {
    title: "no data",
    ...message("set", KEY),
    ...invalid,
    says: /data is missing; it may be any JSON value/,
  },
  { title: "no data in a send", ...message("send", GROUP), ...invalid },
  {
    title: "no data in a batch",
    ...message("batch", {
      ...GROUP,
      mutations: [{ delete: { itemId: "kept" } }, { set: { itemId: "a" } }],
    }),
    ...invalid,
    field: "mutations[1].set.data",
    metadata: { index: "1" },
  },
  { title: "data without a kind", method: "set", binary: binary(part(4)), ...invalid },
  {
    title: "a list with an element without a kind",
    method: "set",
    binary: binary(part(4, part(6, part(1)))),
    ...invalid,
  },
  {
    title: "an object with a member without a kind",
    method: "set",
    binary: binary(part(4, part(5, entry("a", new Uint8Array())))),
    ...invalid,
  },
  {
    title: "an object with a member without a value",
    method: "set",
    binary: binary(part(4, part(5, part(1, part(1, "a"))))),
    ...invalid,
  },
];

const NUMBERS: readonly Row[] = [
  ...[Number.NaN, Infinity, -Infinity].flatMap((number): Row[] => [
    {
      title: `${number}`,
      method: "set",
      binary: binary(part(4, double(2, number))),
      library: { ...KEY, data: number },
      ...invalid,
    },
    {
      title: `a nested ${number}`,
      method: "set",
      binary: binary(part(4, part(5, entry("a", part(6, part(1, double(2, number))))))),
      library: { ...KEY, data: { a: [number] } },
      ...invalid,
    },
  ]),
  {
    title: "a number that overflows to infinity",
    ...jsonOnly("set", withData("[1e999]")),
    ...invalid,
  },
];

const PROTO: readonly Row[] = [
  {
    title: "__proto__ at the top",
    ...jsonOnly("set", withData('{"__proto__":{"a":1}}')),
    binary: binary(part(4, part(5, entry("__proto__", ONE)))),
    ...invalid,
  },
  {
    title: "__proto__ within",
    ...jsonOnly("set", withData('{"a":[{"__proto__":null}]}')),
    binary: binary(part(4, part(5, entry("a", part(5, entry("__proto__", ONE)))))),
    ...invalid,
  },
  {
    title: "__proto__ in a send",
    ...jsonOnly("send", `{"streamName":"s","groupId":"g","data":{"__proto__":1}}`),
    ...invalid,
  },
  {
    title: "__proto__ in a set step",
    ...jsonOnly(
      "update",
      JSON.stringify({ ...KEY, ops: [{ set: { path: "a", value: { b: 1 } } }] }).replace(
        '"b"',
        '"__proto__"',
      ),
    ),
    ...invalid,
    field: "value",
  },
  {
    title: "__proto__ below the top of a merge step",
    ...jsonOnly(
      "update",
      JSON.stringify({ ...KEY, ops: [{ merge: { value: { a: { b: 1 } } } }] }).replace(
        '"b"',
        '"__proto__"',
      ),
    ),
    ...invalid,
    field: "value",
  },
  {
    title: "__proto__ in a batch",
    ...jsonOnly(
      "batch",
      JSON.stringify({ ...GROUP, mutations: [{ set: { itemId: "a", data: { b: 1 } } }] }).replace(
        '"b"',
        '"__proto__"',
      ),
    ),
    ...invalid,
    metadata: { index: "0" },
  },
];

const TEXT: readonly Row[] = [
  ...NOT_UTF8.flatMap((bytes, i): Row[] => {
    const [before = "", after = ""] = withData('["?"]').split("?");
    const [beforeKey = "", afterKey = ""] = withData('{"?":1}').split("?");
    return [
      {
        title: `a string that is not UTF-8 (${i})`,
        method: "set",
        json: joined(utf8(before), bytes, utf8(after)),
        binary: binary(part(4, part(6, part(1, part(3, bytes))))),
        ...invalid,
      },
      {
        title: `a key that is not UTF-8 (${i})`,
        method: "set",
        json: joined(utf8(beforeKey), bytes, utf8(afterKey)),
        binary: binary(part(4, part(5, entry(bytes, ONE)))),
        ...invalid,
      },
    ];
  }),
  {
    title: "a string with a lone surrogate",
    ...jsonOnly("set", withData('"\\udc00"')),
    ...invalid,
  },
  {
    title: "a key with a lone surrogate",
    ...jsonOnly("set", withData('[{"\\ud800x":1}]')),
    ...invalid,
  },
];

const DEPTH: readonly Row[] = [
  {
    title: "31 levels of lists",
    ...message("set", { ...KEY, data: nested(31) as never }),
    ...tooDeep,
  },
  {
    title: "31 levels of objects",
    ...jsonOnly("set", withData(`${'{"a":'.repeat(31)}null${"}".repeat(31)}`)),
    binary: binary(part(4, nestedStructs(31))),
    ...tooDeep,
  },
  {
    title: "10,000 levels of lists",
    ...jsonOnly("set", withData(`${"[".repeat(10_000)}${"]".repeat(10_000)}`)),
    binary: binary(part(4, nestedLists(10_000))),
    ...tooDeep,
  },
  {
    title: "10,000 levels of objects",
    ...jsonOnly("set", withData(`${'{"a":'.repeat(10_000)}null${"}".repeat(10_000)}`)),
    binary: binary(part(4, nestedStructs(10_000))),
    ...tooDeep,
  },
  {
    title: "31 levels in a step",
    ...message("update", {
      ...KEY,
      ops: [{ append: { path: ["a"], value: nested(31) as never } }],
    }),
    reason: "VALUE_TOO_DEEP",
    field: "value",
  },
];

const SIZE: readonly Row[] = [
  {
    title: "1 MiB and a byte as an encoded value",
    ...message("set", { ...KEY, data: textOfBytes(MiB + 1) }),
    ...tooLarge,
  },
  // Each control character takes six bytes as JSON text and one as an encoded value.
  {
    title: "1 MiB and a byte as JSON text",
    ...message("set", { ...KEY, data: `${"\u0001".repeat((MiB - 4) / 6)}xxx` }),
    ...tooLarge,
  },
  // Each element takes two bytes as JSON text and eleven as an encoded value.
  {
    title: "a long list, small as text",
    ...message("set", { ...KEY, data: Array.from({ length: 100_000 }, () => 1) }),
    ...tooLarge,
  },
  {
    title: "2 MiB in a send",
    ...message("send", { ...GROUP, data: "x".repeat(2 * MiB) }),
    ...tooLarge,
  },
  {
    title: "2 MiB in a batch",
    ...message("batch", {
      ...GROUP,
      mutations: [{ set: { itemId: "a", data: "x".repeat(2 * MiB) } }],
    }),
    ...tooLarge,
    metadata: { index: "0" },
  },
  {
    title: "2 MiB in a step",
    ...message("update", { ...KEY, ops: [{ set: { path: "a", value: "x".repeat(2 * MiB) } }] }),
    ...tooLarge,
    field: "value",
  },
];

const MALFORMED: readonly Row[] = [
  {
    title: "data that is cut short",
    method: "set",
    binary: binary(part(4, Uint8Array.of(0x1a, 0x05, 0x61))),
    reason: "REQUEST_INVALID",
    field: "data",
  },
  {
    title: "a number of four bytes",
    method: "set",
    binary: binary(part(4, Uint8Array.of(0x15, 0, 0, 0, 0))),
    reason: "REQUEST_INVALID",
    field: "data",
  },
  {
    title: "data of another type",
    method: "set",
    binary: binary(varint(4, 1)),
    reason: "REQUEST_INVALID",
    field: "data",
  },
];

/** Bad values. */
export const VALUES: readonly Row[] = [
  ...MISSING,
  ...NUMBERS,
  ...PROTO,
  ...TEXT,
  ...DEPTH,
  ...SIZE,
  ...MALFORMED,
];
