import { part, utf8, varint } from "../../wire/request/raw-wire.ts";
import { GROUP, KEY, type Row, binary, jsonOnly, message } from "./row.ts";

const invalid = (field: string) => ({ reason: "REQUEST_INVALID", field }) as const;
const mismatch = { code: "aborted", reason: "REVISION_MISMATCH" } as const;

/** Invalid and unmet expectations. */
const EXPECTATIONS: readonly Row[] = (["set", "update", "delete"] as const).flatMap(
  (method): Row[] => {
    const call =
      method === "set" ? { ...KEY, data: 1 } : method === "update" ? { ...KEY, ops: [] } : KEY;
    const number = method === "delete" ? 4 : 5;
    const data = method === "set" ? [part(4, part(3, "x"))] : [];
    return [
      {
        title: `a negative expected revision to ${method}`,
        ...jsonOnly(method, JSON.stringify({ ...call, expectedRevision: -1 })),
        ...invalid("expected_revision"),
        says: /it may be an integer from 0 to 2\^53-1/,
      },
      {
        title: `a fractional expected revision to ${method}`,
        ...jsonOnly(method, JSON.stringify({ ...call, expectedRevision: 0.5 })),
        ...invalid("expected_revision"),
      },
      {
        title: `an expected revision over 2^53-1 to ${method}`,
        method,
        json: JSON.stringify({ ...call, expectedRevision: "9007199254740992" }),
        binary: binary(...data, varint(number, 2n ** 53n)),
        library: { ...call, expectedRevision: 2 ** 53 },
        ...invalid("expected_revision"),
      },
      {
        title: `an expected revision that is not a number to ${method}`,
        ...jsonOnly(method, JSON.stringify({ ...call, expectedRevision: "new" })),
        ...invalid("expected_revision"),
      },
      {
        title: `a misspelt expected revision to ${method}`,
        method,
        json: JSON.stringify({ ...call, expectedRevison: 0 }),
        ...invalid("expectedRevison"),
        says: /not a known field\. Did you mean expected_revision\?/,
      },
      {
        title: `an unmet expected revision to ${method}`,
        ...message(method, { ...call, expectedRevision: 0 }),
        ...mismatch,
        field: "expected_revision",
        metadata: { current_revision: "1" },
      },
      {
        title: `another unmet expected revision to ${method}`,
        ...message(method, { ...call, expectedRevision: 7 }),
        ...mismatch,
        field: "expected_revision",
        metadata: { current_revision: "1" },
      },
      {
        title: `an unmet expected epoch to ${method}`,
        ...message(method, { ...call, expectedEpoch: "another" }),
        code: "aborted",
        reason: "EPOCH_MISMATCH",
        field: "expected_epoch",
      },
      {
        title: `an expected epoch for a group never written to ${method}`,
        ...message(method, { ...call, expectedEpoch: "" }),
        code: "aborted",
        reason: "EPOCH_MISMATCH",
        field: "expected_epoch",
      },
    ];
  },
);

/** Invalid batches. */
const BATCHES: readonly Row[] = [
  {
    title: "no mutations",
    ...message("batch", { ...GROUP, mutations: [] }),
    ...invalid("mutations"),
    says: /1 to 1000/,
  },
  {
    title: "1,001 mutations",
    ...message("batch", {
      ...GROUP,
      mutations: Array.from({ length: 1001 }, (_, i) => ({ set: { itemId: `i${i}`, data: 1 } })),
    }),
    ...invalid("mutations"),
    says: /1 to 1000/,
  },
  {
    title: "an empty mutation",
    method: "batch",
    json: JSON.stringify({ ...GROUP, mutations: [{ delete: { itemId: "kept" } }, {}] }),
    binary: Buffer.concat([
      part(1, "bad-input"),
      part(2, "g"),
      part(3, part(3, part(1, "kept"))),
      part(3),
    ]),
    library: { ...GROUP, mutations: [{ delete: { itemId: "kept" } }, {}] },
    ...invalid("mutations[1]"),
    metadata: { index: "1" },
    says: /it may be set, update or delete/,
  },
  {
    title: "two mutations in one",
    ...jsonOnly(
      "batch",
      JSON.stringify({
        ...GROUP,
        mutations: [{ delete: { itemId: "kept" }, set: { itemId: "a", data: 1 } }],
      }),
    ),
    ...invalid("mutations[0]"),
    metadata: { index: "0" },
    says: /is given together with delete; it may be given alone/,
  },
  {
    title: "an unknown mutation",
    ...jsonOnly("batch", JSON.stringify({ ...GROUP, mutations: [{ upsert: { itemId: "a" } }] })),
    ...invalid("mutations[0].upsert"),
    metadata: { index: "0" },
    says: /set, update(?: or|,) delete/,
  },
  {
    title: "a mutation of a newer protocol version",
    method: "batch",
    binary: Buffer.concat([part(1, "bad-input"), part(2, "g"), part(3, part(15, part(1, "kept")))]),
    ...invalid("mutations[0]"),
    metadata: { index: "0" },
    says: /is empty or of an unknown kind; it may be set, update or delete/,
  },
  {
    title: "an unknown mutation beside a known one",
    ...jsonOnly(
      "batch",
      JSON.stringify({
        ...GROUP,
        mutations: [{ delete: { itemId: "kept" }, upsert: { itemId: "a" } }],
      }),
    ),
    ...invalid("mutations[0].upsert"),
    metadata: { index: "0" },
  },
  ...[null, 5, "delete", []].map((mutation): Row => ({
    title: `a mutation that is ${JSON.stringify(mutation)}`,
    method: "batch",
    json: JSON.stringify({ ...GROUP, mutations: [mutation] }),
    library: { ...GROUP, mutations: [mutation] },
    ...invalid("mutations[0]"),
    metadata: { index: "0" },
    says: /object/,
  })),
  {
    title: "a mutation whose content is not an object",
    method: "batch",
    json: JSON.stringify({ ...GROUP, mutations: [{ delete: "kept" }] }),
    library: { ...GROUP, mutations: [{ delete: "kept" }] },
    ...invalid("mutations[0].delete"),
    metadata: { index: "0" },
  },
  {
    title: "mutations that are not a list",
    method: "batch",
    json: JSON.stringify({ ...GROUP, mutations: {} }),
    library: { ...GROUP, mutations: {} },
    ...invalid("mutations"),
    says: /array/,
  },
  {
    title: "a misspelt expectation in a mutation",
    method: "batch",
    json: JSON.stringify({
      ...GROUP,
      mutations: [{ set: { itemId: "kept", data: 1, expected_revison: 0 } }],
    }),
    ...invalid("mutations[0].set.expected_revison"),
    metadata: { index: "0" },
  },
  {
    title: "an unmet expectation in a mutation",
    ...message("batch", {
      ...GROUP,
      mutations: [
        { set: { itemId: "new", data: 1 } },
        { delete: { itemId: "kept", expectedRevision: 3 } },
      ],
    }),
    ...mismatch,
    metadata: { index: "1", current_revision: "1" },
  },
  {
    title: "an unmet expected epoch of a batch",
    ...message("batch", {
      ...GROUP,
      expectedEpoch: "another",
      mutations: [{ delete: { itemId: "kept" } }],
    }),
    code: "aborted",
    reason: "EPOCH_MISMATCH",
    field: "expected_epoch",
  },
];

/** Malformed messages. */
const MESSAGES: readonly Row[] = [
  {
    title: "an unknown field",
    method: "set",
    json: JSON.stringify({ ...KEY, data: 1, colour: 5 }),
    ...invalid("colour"),
    says: /not a known field/,
  },
  {
    title: "a field in both spellings",
    method: "set",
    json: JSON.stringify({ ...KEY, data: 1, stream_name: "other" }),
    ...invalid("stream_name"),
  },
  {
    title: "an unknown field in a read",
    method: "get",
    json: JSON.stringify({ ...KEY, consistent: true }),
    ...invalid("consistent"),
  },
  {
    title: "an unknown field in a subscription",
    method: "subscribe",
    json: JSON.stringify({ ...GROUP, resumeForm: {} }),
    ...invalid("resumeForm"),
    says: /Did you mean resume_from\?/,
  },
  {
    title: "a flag that is not a boolean",
    method: "batch",
    json: JSON.stringify({
      ...GROUP,
      returnValues: "yes",
      mutations: [{ delete: { itemId: "kept" } }],
    }),
    ...invalid("return_values"),
  },
  {
    title: "deltas that are not a boolean",
    ...jsonOnly("subscribe", JSON.stringify({ ...GROUP, deltas: "yes" })),
    ...invalid("deltas"),
    says: /it may be true or false/,
  },
  {
    title: "an unknown field in a history",
    method: "history",
    json: JSON.stringify({ ...GROUP, formRevision: 1 }),
    ...invalid("formRevision"),
    says: /Did you mean from_revision\?/,
  },
  {
    title: "an invalid position",
    method: "subscribe",
    json: JSON.stringify({ ...GROUP, resumeFrom: { epoch: "e", revision: -1 } }),
    library: { ...GROUP, resumeFrom: { epoch: "e", revision: -1 } },
    ...invalid("resume_from.revision"),
  },
  {
    title: "a position over 2^53-1",
    method: "subscribe",
    json: JSON.stringify({ ...GROUP, resumeFrom: { epoch: "e", revision: "9007199254740992" } }),
    binary: Buffer.concat([
      part(1, "s"),
      part(2, "g"),
      part(4, part(1, "e"), varint(2, 2n ** 53n)),
    ]),
    ...invalid("resume_from.revision"),
  },
  {
    title: "an event type that is too long",
    ...message("send", { ...GROUP, data: 1, type: "x".repeat(257) }),
    ...invalid("type"),
    says: /up to 256 bytes/,
  },
  {
    title: "JSON that is cut short",
    alone: true,
    method: "set",
    json: JSON.stringify({ ...KEY, data: 1 }).slice(0, -2),
    reason: "REQUEST_INVALID",
    says: /JSON/,
  },
  {
    title: "JSON that is not an object",
    method: "set",
    json: "[1]",
    reason: "REQUEST_INVALID",
    says: /object/,
  },
  {
    title: "JSON with an invalid number",
    alone: true,
    method: "set",
    json: `${JSON.stringify(KEY).slice(0, -1)},"data":NaN}`,
    reason: "REQUEST_INVALID",
    says: /JSON/,
  },
  {
    title: "bytes that are neither JSON nor text",
    alone: true,
    method: "set",
    json: Uint8Array.of(0xff, 0xfe, 0x7b),
    reason: "REQUEST_INVALID",
  },
  {
    title: "a message that is cut short",
    method: "set",
    binary: binary(part(4, part(3, "data"))).slice(0, -2),
    reason: "REQUEST_INVALID",
    says: /cut short or malformed/,
  },
  {
    title: "bytes that are not a message",
    method: "set",
    binary: utf8("hello there"),
    reason: "REQUEST_INVALID",
    says: /cut short or malformed/,
  },
  {
    title: "a message with a field number 0",
    method: "set",
    binary: Uint8Array.of(0x00, 0x01),
    reason: "REQUEST_INVALID",
  },
];

/** Bad requests other than names, values, steps and listings. */
export const REQUESTS: readonly Row[] = [...EXPECTATIONS, ...BATCHES, ...MESSAGES];
