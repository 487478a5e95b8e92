import { type DescMessage, toBinary, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import {
  type SetRequest,
  StreamService,
  type SubscribeRequest,
  type WriteRequest,
  WriteRequestSchema,
} from "../../../gen/millrace/v1/stream_service_pb.ts";
import type { UpdateOp } from "../../../gen/millrace/v1/types_pb.ts";
import { StreamError } from "../../../src/core/errors.ts";
import type { Value } from "../../../src/core/value.ts";
import { compileBinaryDecoder } from "../../../src/wire/request/binary-decoder.ts";
import { compileJsonDecoder } from "../../../src/wire/request/json-decoder.ts";
import type { Decoded } from "../../../src/wire/request/decoded.ts";
import { arbitraryRequest, plain } from "./arbitrary-request.ts";
import { utf8 } from "./raw-wire.ts";

describe("any request that protobuf-es writes decodes alike from binary and JSON:", () => {
  for (const { input: desc, name } of StreamService.methods) {
    test(name, () => {
      const fromBinary = compileBinaryDecoder(desc);
      const fromJson = compileJsonDecoder(desc);
      fc.assert(
        fc.property(
          arbitraryRequest(desc),
          fc.boolean(),
          ({ message, plain: expected }, protoNames) => {
            expect(plain(fromBinary(toBinary(desc, message)))).toStrictEqual(expected);
            const json = toJson(desc, message, {
              useProtoFieldName: protoNames,
              alwaysEmitImplicit: protoNames,
            });
            expect(plain(fromJson(utf8(JSON.stringify(json))))).toStrictEqual(expected);
          },
        ),
      );
    });
  }
});

test("damaged requests fail only with StreamErrors that name their field", () => {
  const decode = compileBinaryDecoder(WriteRequestSchema);
  const hit = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(
      arbitraryRequest(WriteRequestSchema),
      hit,
      fc.nat(),
      ({ message }, [at, byte], cut) => {
        const bytes = toBinary<DescMessage>(WriteRequestSchema, message);
        if (bytes.length > 0) bytes[at % bytes.length] = byte;
        for (const damaged of [bytes, bytes.subarray(0, cut % (bytes.length + 1))]) {
          try {
            decode(damaged);
          } catch (error) {
            expect(error).toBeInstanceOf(StreamError);
            const { code, message: text, metadata } = StreamError.from(error);
            expect(code).toBe("invalid_argument");
            expect(text.startsWith(metadata["field"] ?? "The request")).toBe(true);
          }
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("a decoded request has the types that handlers use", () => {
  expectTypeOf<Decoded<SetRequest>>().toEqualTypeOf<{
    readonly streamName: string;
    readonly groupId: string;
    readonly itemId: string;
    readonly data: Value | undefined;
    readonly expectedRevision: number | undefined;
    readonly expectedEpoch: string | undefined;
    readonly idempotencyKey: string | undefined;
  }>();
  expectTypeOf<Decoded<SubscribeRequest>["resumeFrom"]>().toEqualTypeOf<
    { readonly epoch: string; readonly revision: number } | undefined
  >();
  type Op = Decoded<UpdateOp>["op"];
  expectTypeOf<Extract<Op, { case: "append" }>["value"]>().toEqualTypeOf<{
    readonly path: readonly string[];
    readonly value: Value | undefined;
  }>();
  expectTypeOf<Op["case"]>().toEqualTypeOf<
    "set" | "merge" | "increment" | "decrement" | "append" | "remove" | undefined
  >();
  expectTypeOf<Decoded<WriteRequest>["requestId"]>().toEqualTypeOf<number | bigint>();
});
