import { joined, part, varint } from "../../wire/request/raw-wire.ts";
import { GROUP, KEY, type Row, binary, jsonOnly, message } from "./row.ts";

const malformed = (field: string) => ({ reason: "OP_MALFORMED", field }) as const;

/** An update with these steps, as JSON text. */
const steps = (text: string) => `${JSON.stringify(KEY).slice(0, -1)},"ops":[${text}]}`;
/** An update with one step: its field number and content. */
const step = (op: number, ...content: readonly Uint8Array[]) =>
  binary(part(4, part(op, ...content)));

/** Malformed steps. Each must fail its whole call. */
export const OPERATIONS: readonly Row[] = [
  {
    title: "an unknown step",
    ...jsonOnly("update", steps('{"multiply":{"path":"n","by":2}}')),
    binary: step(15, part(1, "n")),
    ...malformed("ops[0]"),
    says: /set, merge, increment, decrement, append(?: or|,) remove/,
  },
  {
    title: "an empty step",
    ...jsonOnly("update", steps("{}")),
    binary: binary(part(4)),
    ...malformed("ops[0]"),
  },
  {
    title: "two steps in one",
    method: "update",
    json: steps('{"remove":{"path":"a"},"set":{"path":"b","value":1}}'),
    ...malformed("ops[0].set"),
  },
  {
    title: "a step that is not an object",
    method: "update",
    json: steps("5"),
    library: { ...KEY, ops: [5] },
    ...malformed("ops[0]"),
  },
  {
    title: "steps that are not a list",
    method: "update",
    json: JSON.stringify({ ...KEY, ops: {} }),
    reason: "REQUEST_INVALID",
    field: "ops",
  },
  {
    title: "a fractional by",
    ...jsonOnly(
      "update",
      steps('{"set":{"path":"a","value":1}},{"increment":{"path":"n","by":1.5}}'),
    ),
    ...malformed("ops[1]"),
    says: /by .*; it may be an integer/,
  },
  {
    title: "a fractional by in a string",
    ...jsonOnly("update", steps('{"decrement":{"path":"n","by":"1.5"}}')),
    ...malformed("ops[0]"),
    says: /by .*; it may be an integer/,
  },
  {
    title: "a by that is not a number",
    ...jsonOnly("update", steps('{"increment":{"path":"n","by":"one"}}')),
    ...malformed("ops[0]"),
    says: /by .*; it may be an integer/,
  },
  {
    title: "a by that is null",
    ...jsonOnly("update", steps('{"increment":{"path":"n","by":null}}')),
    ...malformed("ops[0]"),
    says: /by .*; it may be an integer/,
  },
  ...(["increment", "decrement"] as const).flatMap((op, i): Row[] => [
    {
      title: `no by to ${op}`,
      ...message("update", { ...KEY, ops: [{ [op]: { path: "n" } }] }),
      ...malformed("ops[0]"),
      says: /by is missing; it may be an integer/,
    },
    {
      title: `a by over 2^53-1 to ${op}`,
      ...jsonOnly("update", steps(`{"${op}":{"path":"n","by":"9007199254740992"}}`)),
      binary: step(3 + i, part(1, "n"), varint(2, 2n ** 53n)),
      ...malformed("ops[0]"),
      says: /by .*; it may be an integer/,
    },
    {
      title: `a by under -(2^53-1) to ${op}`,
      ...jsonOnly("update", steps(`{"${op}":{"path":"n","by":-9007199254740992}}`)),
      binary: step(3 + i, part(1, "n"), varint(2, -(2n ** 53n))),
      ...malformed("ops[0]"),
      says: /by .*; it may be an integer/,
    },
  ]),
  {
    title: "a path of another type",
    ...jsonOnly("update", steps('{"remove":{"path":5}}')),
    ...malformed("ops[0]"),
    says: /path/,
  },
  {
    title: "a list for the path of a set",
    ...jsonOnly("update", steps('{"set":{"path":["a"],"value":1}}')),
    ...malformed("ops[0]"),
    says: /path/,
  },
  {
    title: "a path of numbers",
    ...jsonOnly("update", steps('{"append":{"path":["a",0],"value":1}}')),
    ...malformed("ops[0]"),
    says: /path/,
  },
  {
    title: "a path that is an object",
    ...jsonOnly("update", steps('{"merge":{"path":{},"value":{}}}')),
    ...malformed("ops[0]"),
    says: /path/,
  },
  {
    title: "a path with a lone surrogate",
    ...jsonOnly("update", steps('{"remove":{"path":"\\ud800"}}')),
    binary: step(6, part(1, Uint8Array.of(0xed, 0xa0, 0x80))),
    ...malformed("ops[0]"),
    says: /path/,
  },
  {
    title: "a merge without a value",
    ...message("update", { ...KEY, ops: [{ merge: { path: ["a"] } }] }),
    ...malformed("ops[0]"),
    says: /value is missing; it may be any JSON value/,
  },
  {
    title: "an append without a value",
    ...message("update", { ...KEY, ops: [{ append: { path: ["a"] } }] }),
    ...malformed("ops[0]"),
    says: /value is missing; it may be any JSON value/,
  },
  {
    title: "an unknown field of a step",
    method: "update",
    json: steps('{"remove":{"path":"a","value":1}}'),
    reason: "REQUEST_INVALID",
    field: "ops[0].remove.value",
  },
  {
    title: "a step that is cut short",
    method: "update",
    binary: binary(part(4, Uint8Array.of(0x0a, 0x05, 0x0a))),
    reason: "REQUEST_INVALID",
    field: "ops[0]",
  },
  {
    title: "1,001 steps",
    ...message("update", {
      ...KEY,
      ops: Array.from({ length: 1001 }, () => ({ remove: { path: "a" } })),
    }),
    reason: "REQUEST_INVALID",
    field: "ops",
    says: /up to 1000/,
  },
  {
    title: "1,001 steps in a batch",
    ...message("batch", {
      ...GROUP,
      mutations: [
        { set: { itemId: "new", data: 1 } },
        {
          update: {
            itemId: "kept",
            ops: Array.from({ length: 1001 }, () => ({ remove: { path: "a" } })),
          },
        },
      ],
    }),
    reason: "REQUEST_INVALID",
    field: "ops",
    says: /up to 1000/,
    metadata: { index: "1" },
  },
  {
    title: "a malformed step in a batch",
    ...message("batch", {
      ...GROUP,
      mutations: [
        { set: { itemId: "new", data: 1 } },
        {
          update: {
            itemId: "kept",
            ops: [{ remove: { path: "a" } }, { increment: { path: "n" } }],
          },
        },
      ],
    }),
    ...malformed("ops[1]"),
    says: /by is missing/,
    metadata: { index: "1" },
  },
  {
    title: "an unknown step in a batch",
    method: "batch",
    json: JSON.stringify({
      ...GROUP,
      mutations: [{ update: { itemId: "kept", ops: [{ explode: {} }] } }],
    }),
    binary: joined(
      part(1, "bad-input"),
      part(2, "g"),
      part(3, part(2, part(1, "kept"), part(2, part(15)))),
    ),
    ...malformed("mutations[0].update.ops[0]"),
    metadata: { index: "0" },
  },
];
