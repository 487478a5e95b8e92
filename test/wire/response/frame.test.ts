import { fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { SubscribeResponseSchema } from "../../../gen/millrace/v1/stream_service_pb.ts";
import { Delta } from "../../../src/core/delta.ts";
import type { UpdateOp } from "../../../src/core/ops.ts";
import type { Frame } from "../../../src/core/frame.ts";
import { Value } from "../../../src/core/value.ts";
import { frameEnvelope } from "../../../src/wire/response/frame.ts";
import { frameMessage } from "./oracle/messages.ts";

const integer = fc.oneof(fc.nat(3), fc.maxSafeNat());
const position = fc.record({ epoch: fc.string({ unit: "grapheme" }), revision: integer });
const name = fc.string({ unit: "grapheme", minLength: 1 });
// The key order of objects is not guaranteed, so values here have at most one key.
const value = fc
  .oneof(
    fc.string({ unit: "grapheme" }),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constant(null),
    fc.constant({ a: [1, "b"] }),
  )
  .map((json) => Value.of(json));
const time = fc.integer({ min: 0, max: 4e12 });
const author = fc.oneof(
  fc.constant(""),
  name.map((id) => `user:${id}`),
);
const item = fc.record({
  itemId: name,
  value,
  revision: integer,
  createTimeMs: time,
  updateTimeMs: time,
  author,
});
const key = fc.string({ unit: "grapheme" });
const path = fc.array(key, { maxLength: 3 });
const op = fc.oneof<fc.Arbitrary<UpdateOp>[]>(
  fc.record({ type: fc.constant("set" as const), path: key, value }),
  fc.record({ type: fc.constantFrom("merge" as const, "append" as const), path, value }),
  fc.record({
    type: fc.constantFrom("increment" as const, "decrement" as const),
    path: key,
    by: fc.maxSafeInteger(),
  }),
  fc.record({ type: fc.constant("remove" as const), path: key }),
);
const frames = fc.oneof<fc.Arbitrary<Frame>[]>(
  fc.record({
    kind: fc.constant("sync" as const),
    items: fc.array(item, { maxLength: 5 }),
    position,
    first: fc.boolean(),
    last: fc.boolean(),
    timestamp: integer,
  }),
  fc.record({
    kind: fc.constant("change" as const),
    type: fc.constantFrom("create" as const, "update" as const, "delete" as const),
    itemId: name,
    value,
    position,
    timestamp: integer,
    timeMs: time,
    author,
  }),
  fc.record({
    kind: fc.constant("delta" as const),
    itemId: name,
    delta: fc
      .tuple(integer, fc.array(op, { maxLength: 4 }))
      .map(([baseRevision, ops]) => Delta.of(baseRevision, ops)),
    position,
    timestamp: integer,
    timeMs: time,
    author,
  }),
  fc.record({
    kind: fc.constant("event" as const),
    type: name,
    itemId: fc.option(name, { nil: undefined }),
    value,
    after: position,
    timestamp: integer,
    author,
  }),
  fc.record({ kind: fc.constant("heartbeat" as const), position }),
  fc.record({ kind: fc.constant("resumed" as const), position, head: position }),
);

test("the direct encoding of a frame equals that of the generated code", () => {
  fc.assert(
    fc.property(frames, fc.boolean(), (frame, withAuthor) => {
      const expected = toBinary(SubscribeResponseSchema, frameMessage(frame, withAuthor));
      const envelope = Buffer.from(frameEnvelope(frame, withAuthor));
      expect(envelope[0]).toBe(0);
      expect(envelope.readUInt32BE(1)).toBe(envelope.byteLength - 5);
      const bytes = envelope.subarray(5);
      expect(fromBinary(SubscribeResponseSchema, bytes)).toEqual(
        fromBinary(SubscribeResponseSchema, expected),
      );
      expect(Buffer.compare(bytes, expected)).toBe(0);
    }),
  );
});
