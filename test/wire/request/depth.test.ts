import { WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "vitest";
import { SetRequestSchema } from "../../../gen/millrace/v1/stream_service_pb.ts";
import { compileBinaryDecoder } from "../../../src/wire/request/binary-decoder.ts";
import { compileJsonDecoder } from "../../../src/wire/request/json-decoder.ts";
import { joined, part } from "./raw-wire.ts";
import { refusal } from "./refusal.ts";

describe("hostile nesting", () => {
  const LEVELS = 100_000;

  test("of a binary Value is refused as VALUE_TOO_DEEP", () => {
    for (const tag of [0x32, 0x2a]) {
      const error = refusal(() =>
        compileBinaryDecoder(SetRequestSchema)(part(4, deepest(tag, LEVELS))),
      );
      expect(error).toMatchObject({ reason: "VALUE_TOO_DEEP", metadata: { field: "data" } });
    }
  });

  test("of JSON is refused as VALUE_TOO_DEEP", () => {
    const decode = compileJsonDecoder(SetRequestSchema);
    const lists = `{"data":${"[".repeat(LEVELS)}${"]".repeat(LEVELS)}}`;
    const structs = `{"data":${'{"a":'.repeat(LEVELS)}1${"}".repeat(LEVELS)}}`;
    for (const json of [lists, structs]) {
      expect(refusal(() => decode(json))).toMatchObject({
        reason: "VALUE_TOO_DEEP",
        metadata: { field: "data" },
      });
    }
  });

  test("of JSON that never ends is refused as REQUEST_INVALID", () => {
    const error = refusal(() => compileJsonDecoder(SetRequestSchema)("[".repeat(LEVELS)));
    expect(error.reason).toBe("REQUEST_INVALID");
  });

  test("of unknown groups of a binary message is refused as REQUEST_INVALID", () => {
    const start = (15 << 3) | WireType.StartGroup;
    const end = (15 << 3) | WireType.EndGroup;
    const groups = (levels: number) =>
      new Uint8Array(levels * 2).fill(start, 0, levels).fill(end, levels);
    const decode = compileBinaryDecoder(SetRequestSchema);
    expect(decode(joined(groups(100), part(1, "a"))).streamName).toBe("a");
    expect(refusal(() => decode(groups(LEVELS))).reason).toBe("REQUEST_INVALID");
  });

  /**
   * A Value whose levels each announce the rest of the bytes, built from the inside out in one
   * pass.
   */
  function deepest(tag: number, levels: number): Uint8Array {
    const pieces: number[][] = [];
    let size = 0;
    const wrap = (outerTag: number) => {
      const piece = [outerTag];
      for (let rest = size; ; rest >>>= 7) {
        piece.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80);
        if (rest < 0x80) break;
      }
      pieces.push(piece);
      size += piece.length;
    };
    for (let i = 0; i < levels; i++) {
      if (tag === 0x2a) wrap(0x12);
      wrap(0x0a);
      wrap(tag);
    }
    return Uint8Array.from(pieces.toReversed().flat());
  }
});
