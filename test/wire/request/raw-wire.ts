import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** Builds protobuf bytes piece by piece, valid or not, below what message classes allow. */

/** One field: number, wire type and raw payload. */
export function field(number: number, wireType: WireType, payload: Uint8Array): Uint8Array {
  return joined(new BinaryWriter().tag(number, wireType).finish(), payload);
}

/** A length-delimited field: a message, bytes or, given text, its UTF-8. */
export function part(number: number, ...content: readonly (Uint8Array | string)[]): Uint8Array {
  const bytes = joined(...content.map((each) => (typeof each === "string" ? utf8(each) : each)));
  return new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish();
}

/** A varint field. */
export function varint(number: number, value: bigint | number): Uint8Array {
  return new BinaryWriter()
    .tag(number, WireType.Varint)
    .int64(BigInt.asIntN(64, BigInt(value)))
    .finish();
}

/** A double field. */
export function double(number: number, value: number): Uint8Array {
  return new BinaryWriter().tag(number, WireType.Bit64).double(value).finish();
}

/** The concatenation of byte arrays. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Text as UTF-8. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/**
 * Bytes that are not UTF-8: a lead byte without its continuation, an overlong slash, a surrogate.
 */
export const NOT_UTF8: readonly Uint8Array[] = [
  Uint8Array.of(0x61, 0xc3),
  Uint8Array.of(0xc0, 0xaf),
  Uint8Array.of(0xed, 0xa0, 0x80),
  // Longer than strings that are read byte by byte.
  joined(utf8("x".repeat(40)), Uint8Array.of(0xff)),
];

/** A `google.protobuf.Value` around `levels` lists. */
export function nestedLists(levels: number): Uint8Array {
  return nested(levels, (innerBytes) => {
    const values = head(1, innerBytes);
    return joined(head(6, values.length + innerBytes), values);
  });
}

/** A `google.protobuf.Value` around `levels` objects. */
export function nestedStructs(levels: number): Uint8Array {
  return nested(levels, (innerBytes) => {
    const entry = joined(part(1, "a"), head(2, innerBytes));
    const fields = joined(head(1, entry.length + innerBytes), entry);
    return joined(head(5, fields.length + innerBytes), fields);
  });
}

/**
 * A value in `levels` levels.
 *
 * @param headOf Returns the bytes of a level that precede its inner value of the given size.
 */
function nested(levels: number, headOf: (innerBytes: number) => Uint8Array): Uint8Array {
  const innermost = varint(1, 0);
  const heads: Uint8Array[] = [];
  let bytes = innermost.length;
  for (let i = 0; i < levels; i++) {
    const before = headOf(bytes);
    heads.push(before);
    bytes += before.length;
  }
  return joined(...heads.toReversed(), innermost);
}

/** Tag and length of a field of `bytes` bytes. */
function head(number: number, bytes: number): Uint8Array {
  return new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(bytes).finish();
}
