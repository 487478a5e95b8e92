import {
  type DescMessage,
  type MessageInitShape,
  create,
  fromBinary,
  toJson,
} from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BatchResponseSchema,
  DeleteResponseSchema,
  GetResponseSchema,
  HistoryResponseSchema,
  ListAllResponseSchema,
  ListGroupsResponseSchema,
  ListResponseSchema,
  SetResponseSchema,
  UpdateResponseSchema,
  WriteResponseSchema,
} from "../../../gen/millrace/v1/stream_service_pb.ts";
import { StreamError } from "../../../src/core/errors.ts";
import { type Json, Value } from "../../../src/core/value.ts";
import {
  batchResponse,
  deleteResponse,
  getResponse,
  historyResponse,
  listAllResponse,
  listGroupsResponse,
  listResponse,
  setResponse,
  updateResponse,
} from "./oracle/results.ts";
import {
  EMPTY_ENVELOPE,
  batchEnvelope,
  deletedEnvelope,
  groupsEnvelope,
  historyEnvelope,
  itemEnvelope,
  listEnvelope,
  setEnvelope,
  streamsEnvelope,
  updateEnvelope,
  writeEnvelope,
} from "../../../src/wire/response/binary.ts";
import {
  EMPTY_JSON,
  batchJson,
  deletedJson,
  groupsJson,
  historyJson,
  itemJson,
  listJson,
  setJson,
  streamsJson,
  updateJson,
} from "../../../src/wire/response/json.ts";

/** The message in an envelope, as the generated code decodes it. */
function opened<Desc extends DescMessage>(schema: Desc, envelope: Uint8Array) {
  const view = new DataView(envelope.buffer, envelope.byteOffset, envelope.byteLength);
  expect([view.getUint8(0), view.getUint32(1)]).toEqual([0, envelope.length - 5]);
  return fromBinary(schema, envelope.subarray(5));
}

/** Compares an encoded result with what the generated code makes of it. */
function same<Desc extends DescMessage>(
  schema: Desc,
  envelope: Uint8Array,
  init: MessageInitShape<Desc>,
) {
  expect(opened(schema, envelope)).toEqual(create(schema, init));
}

/** Compares a JSON result in the same way. */
function sameJson<Desc extends DescMessage>(
  schema: Desc,
  json: string,
  init: MessageInitShape<Desc>,
) {
  expect(JSON.parse(json)).toEqual(toJson(schema, create(schema, init)));
}

const text = fc.string({ unit: "grapheme", maxLength: 80 });
const integer = fc.oneof(fc.constant(0), fc.maxSafeNat(), fc.nat(300));
const value = fc.jsonValue({ maxDepth: 3 }).map((json) => Value.of(withoutProto(json as Json)));
const position = fc.record({ epoch: text, revision: integer });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const written = fc.record({
  oldValue: maybe(value),
  newValue: value,
  created: fc.boolean(),
  position,
});
const errors = fc.array(fc.record({ opIndex: fc.nat(999), code: text, message: text }), {
  maxLength: 3,
});
const updated = fc.tuple(written, errors).map(([result, own]) => ({ ...result, errors: own }));
const deleted = fc.record({ oldValue: maybe(value), position: maybe(position) });
const item = fc.record({
  itemId: text,
  value,
  revision: integer,
  createTimeMs: fc.nat(2 ** 40),
  updateTimeMs: fc.nat(2 ** 40),
  author: text,
});
const change = fc.record({
  kind: fc.constant("change" as const),
  type: fc.constantFrom("create" as const, "update" as const, "delete" as const),
  itemId: text,
  value,
  position,
  timestamp: integer,
  timeMs: integer,
  author: text,
});
const batched = fc.record({
  results: fc.array(
    fc.oneof(
      written.map((result) => ({ kind: "set" as const, result })),
      updated.map((result) => ({ kind: "update" as const, result })),
      deleted.map((result) => ({ kind: "delete" as const, result })),
    ),
    { maxLength: 4 },
  ),
  position,
});

/** Renames the key that no value may have. */
function withoutProto(json: Json): Json {
  return JSON.parse(JSON.stringify(json).replaceAll("__proto__", "proto")) as Json;
}

describe("responses encoded directly to bytes and to JSON", () => {
  it("equal those of the generated code", () => {
    fc.assert(
      fc.property(
        written,
        updated,
        deleted,
        maybe(item),
        batched,
        fc.boolean(),
        (set, update, gone, one, all, withAuthor) => {
          same(SetResponseSchema, setEnvelope(set), setResponse(set));
          sameJson(SetResponseSchema, setJson(set), setResponse(set));
          same(UpdateResponseSchema, updateEnvelope(update), updateResponse(update));
          sameJson(UpdateResponseSchema, updateJson(update), updateResponse(update));
          same(DeleteResponseSchema, deletedEnvelope(gone), deleteResponse(gone));
          sameJson(DeleteResponseSchema, deletedJson(gone), deleteResponse(gone));
          same(GetResponseSchema, itemEnvelope(one, withAuthor), getResponse(one, withAuthor));
          sameJson(GetResponseSchema, itemJson(one, withAuthor), getResponse(one, withAuthor));
          same(BatchResponseSchema, batchEnvelope(all), batchResponse(all));
          sameJson(BatchResponseSchema, batchJson(all), batchResponse(all));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("equal those of the generated code for pages of items, and without fields", () => {
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: 5 }),
        position,
        text,
        fc.boolean(),
        (items, at, nextPageToken, withAuthor) => {
          const page = { items, position: at, nextPageToken };
          const expected = listResponse(page, withAuthor);
          same(ListResponseSchema, listEnvelope(page, withAuthor), expected);
          sameJson(ListResponseSchema, listJson(page, withAuthor), expected);
        },
      ),
      { numRuns: 40 },
    );
    expect(EMPTY_ENVELOPE).toEqual(new Uint8Array(5));
    expect(JSON.parse(EMPTY_JSON)).toEqual({});
  });

  it("equal those of the generated code for pages of changes", () => {
    const page = fc.record({
      changes: fc.array(change, { maxLength: 5 }),
      oldest: maybe(position),
      head: position,
      nextPageToken: text,
    });
    fc.assert(
      fc.property(page, fc.boolean(), (changes, withAuthor) => {
        const expected = historyResponse(changes, withAuthor);
        same(HistoryResponseSchema, historyEnvelope(changes, withAuthor), expected);
        sameJson(HistoryResponseSchema, historyJson(changes, withAuthor), expected);
      }),
      { numRuns: 40 },
    );
  });

  it("equal those of the generated code for pages of groups and streams, even with empty names", () => {
    const groups = fc.array(text, { maxLength: 4 });
    const streams = fc.array(fc.record({ streamName: text, groups }), { maxLength: 4 });
    fc.assert(
      fc.property(groups, streams, integer, text, (ids, all, count, nextPageToken) => {
        const page = { groups: ids, nextPageToken };
        same(ListGroupsResponseSchema, groupsEnvelope(page), listGroupsResponse(page));
        sameJson(ListGroupsResponseSchema, groupsJson(page), listGroupsResponse(page));
        const tree = { streams: all, count, nextPageToken };
        same(ListAllResponseSchema, streamsEnvelope(tree), listAllResponse(tree));
        sameJson(ListAllResponseSchema, streamsJson(tree), listAllResponse(tree));
      }),
      { numRuns: 40 },
    );
  });

  it("equal those of the generated code for a stream of writes, with any request id", () => {
    const ids = fc.oneof(integer, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
    const details = fc.dictionary(fc.stringMatching(/^[a-z_]{1,9}$/), text, { maxKeys: 3 });
    fc.assert(
      fc.property(
        ids,
        written,
        deleted,
        batched,
        details,
        text,
        (id, set, gone, all, more, why) => {
          const requestId = BigInt(id);
          const error = new StreamError("REVISION_MISMATCH", why, { metadata: more });
          const { code, reason, message, metadata } = error;
          const cases = [
            [
              { kind: "set", result: set },
              { case: "set", value: setResponse(set) },
            ],
            [
              { kind: "delete", result: gone },
              { case: "delete", value: deleteResponse(gone) },
            ],
            [{ kind: "send" }, { case: "send", value: {} }],
            [
              { kind: "batch", result: all },
              { case: "batch", value: batchResponse(all) },
            ],
            [
              { kind: "error", error },
              { case: "error", value: { code, reason, message, metadata: { ...metadata } } },
            ],
          ] as const;
          for (const [done, result] of cases)
            same(WriteResponseSchema, writeEnvelope(id, done), { requestId, result });
        },
      ),
      { numRuns: 40 },
    );
  });

  it("equal those of the generated code beyond the size of the writer's buffer", () => {
    const result = {
      oldValue: Value.of("x".repeat(900_000)),
      newValue: Value.of("é".repeat(300_000)),
      created: false,
      position: { epoch: "e".repeat(5000), revision: 2 ** 53 - 1 },
    };
    same(SetResponseSchema, setEnvelope(result), setResponse(result));
    const small = { ...result, oldValue: undefined, newValue: Value.of(1) };
    same(SetResponseSchema, setEnvelope(small), setResponse(small));
  });
});
