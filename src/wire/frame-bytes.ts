import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { ChangeEvent, Item } from "../core/change.ts";
import type { Frame } from "../core/frame.ts";
import type { Position } from "../core/position.ts";
import { ChangeType } from "../../gen/millrace/v1/stream_service_pb.ts";
import { encodeValue } from "./value-codec.ts";

// Field numbers of proto/millrace/v1. A test holds these against the generated code.
const FRAME = { sync: 1, change: 2, event: 3, heartbeat: 4, resumed: 5 } as const;

/** A frame as an encoded `SubscribeResponse`. The bytes are not kept here. */
export function encodeFrame(frame: Frame): Uint8Array {
  return writeFrame(frame).finish();
}

function writeFrame(frame: Frame): BinaryWriter {
  const writer = new BinaryWriter();
  writer.tag(FRAME[frame.kind], WireType.LengthDelimited).fork();
  switch (frame.kind) {
    case "sync":
      for (const item of frame.items) writeItem(writer, item);
      writePosition(writer, 2, frame.position);
      if (frame.first) writer.tag(3, WireType.Varint).bool(true);
      if (frame.last) writer.tag(4, WireType.Varint).bool(true);
      writeInteger(writer, 5, frame.timestamp);
      break;
    case "change":
      writer.tag(1, WireType.Varint).int32(CHANGE_TYPES[frame.type]);
      writer.tag(2, WireType.LengthDelimited).string(frame.itemId);
      writer.tag(3, WireType.LengthDelimited).bytes(encodeValue(frame.value));
      writePosition(writer, 4, frame.position);
      writeInteger(writer, 5, frame.timestamp);
      break;
    case "event":
      writer.tag(1, WireType.LengthDelimited).string(frame.type);
      writer.tag(2, WireType.LengthDelimited).bytes(encodeValue(frame.value));
      if (frame.itemId !== undefined) writer.tag(3, WireType.LengthDelimited).string(frame.itemId);
      writeInteger(writer, 4, frame.timestamp);
      break;
    case "heartbeat":
      writePosition(writer, 1, frame.position);
      break;
    case "resumed":
      writePosition(writer, 1, frame.position);
      writePosition(writer, 2, frame.head);
  }
  return writer.join();
}

function writeItem(writer: BinaryWriter, item: Item): void {
  writer.tag(1, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.LengthDelimited).string(item.itemId);
  writer.tag(2, WireType.LengthDelimited).bytes(encodeValue(item.value));
  writeInteger(writer, 3, item.revision);
  writeTime(writer, 4, item.createTimeMs);
  writeTime(writer, 5, item.updateTimeMs);
  writer.join();
}

function writePosition(writer: BinaryWriter, field: number, { epoch, revision }: Position): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  if (epoch !== "") writer.tag(1, WireType.LengthDelimited).string(epoch);
  writeInteger(writer, 2, revision);
  writer.join();
}

/** A `google.protobuf.Timestamp`. */
function writeTime(writer: BinaryWriter, field: number, timeMs: number): void {
  const seconds = Math.floor(timeMs / 1000);
  writer.tag(field, WireType.LengthDelimited).fork();
  writeInteger(writer, 1, seconds);
  writeInteger(writer, 2, (timeMs - seconds * 1000) * 1_000_000);
  writer.join();
}

/** An integer field from 0 to 2^53-1; 0 is left out, as proto3 has it. */
function writeInteger(writer: BinaryWriter, field: number, value: number): void {
  if (value !== 0) writer.tag(field, WireType.Varint).int64(value);
}

const CHANGE_TYPES: Record<ChangeEvent["type"], ChangeType> = {
  create: ChangeType.CREATE,
  update: ChangeType.UPDATE,
  delete: ChangeType.DELETE,
};
