import { type DescMessage, type MessageShape, fromBinary } from "@bufbuild/protobuf";
import { PREFIX_BYTES } from "../envelope.ts";

/** Decodes an encoded response for the framework, which takes protobuf-es messages. */
export function openEnvelope<Desc extends DescMessage>(
  schema: Desc,
  envelope: Uint8Array,
): MessageShape<Desc> {
  return fromBinary(schema, envelope.subarray(PREFIX_BYTES));
}
