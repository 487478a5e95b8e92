import { type MessageInitShape, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  SubscribeRequestSchema,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from "millrace/v1";
import type { RawGrpc } from "./raw-grpc.ts";

/** Subscriptions over plain HTTP/2. */
export type RawSubscribe = (
  request: MessageInitShape<typeof SubscribeRequestSchema>,
  options: { signal: AbortSignal },
) => AsyncIterable<SubscribeResponse>;

/** Subscribes over a connection, by default without credentials. */
export function createRawSubscribe(grpc: RawGrpc, authorization?: string): RawSubscribe {
  return async function* subscribe(request, { signal }) {
    const call = grpc("Subscribe", authorization);
    signal.addEventListener("abort", call.close, { once: true });
    try {
      call.send(toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, request)));
      call.end();
      for await (const message of call.messages())
        yield fromBinary(SubscribeResponseSchema, message);
    } finally {
      signal.removeEventListener("abort", call.close);
      call.close();
    }
  };
}
