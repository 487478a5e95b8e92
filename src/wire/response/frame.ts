import type { Item } from "../../core/change.ts";
import type { Frame } from "../../core/frame.ts";
import { writeChange, writeItem, writePosition } from "./parts.ts";
import { ReverseWriter } from "../protobuf/reverse-writer.ts";
import { writeDelta } from "./delta.ts";
import { encodeValue } from "../value/codec.ts";

// Field numbers of proto/millrace/v1. A test compares the output with that of the generated code.
const FRAME = { sync: 1, change: 2, delta: 2, event: 3, heartbeat: 4, resumed: 5 } as const;

const writer = new ReverseWriter();

/**
 * A frame as an encoded `SubscribeResponse`, with the gRPC prefix. Not cached.
 *
 * @param withAuthor Whether its reader gets authors.
 */
export function frameEnvelope(frame: Frame, withAuthor: boolean): Uint8Array {
  writer.start();
  // Fields are written last first.
  switch (frame.kind) {
    case "sync":
      writer.string(7, frame.olderPageToken ?? "");
      writer.bool(6, frame.truncated === true);
      writer.integer(5, frame.timestamp);
      writer.bool(4, frame.last);
      writer.bool(3, frame.first);
      writePosition(writer, 2, frame.position);
      for (let i = frame.items.length - 1; i >= 0; i--)
        writeItem(writer, 1, frame.items[i] as Item, withAuthor);
      break;
    case "change":
      writeChange(writer, frame, withAuthor);
      break;
    case "delta":
      writeDelta(writer, frame, withAuthor);
      break;
    case "event":
      if (withAuthor) writer.string(5, frame.author);
      writer.integer(4, frame.timestamp);
      if (frame.itemId !== undefined) writer.string(3, frame.itemId, true);
      writer.bytes(2, encodeValue(frame.value));
      writer.string(1, frame.type);
      break;
    case "heartbeat":
      writePosition(writer, 1, frame.position);
      break;
    case "resumed":
      writePosition(writer, 2, frame.head);
      writePosition(writer, 1, frame.position);
  }
  writer.message(FRAME[frame.kind], 0);
  return writer.finishEnvelope();
}
