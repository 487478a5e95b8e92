import { type MessageInitShape, create } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import {
  type WriteRequest,
  type WriteResponse,
  WriteResponseSchema,
} from "../../gen/millrace/v1/stream_service_pb.ts";
import { StreamError } from "../core/errors.ts";
import type { Handlers } from "../service/handlers.ts";
import type { Decoded } from "../wire/decoded.ts";
import { toBatchRequest, toUpdateRequest } from "./calls.ts";
import { bodyInvalid } from "./request-body.ts";
import type { RequestReader } from "./request-reader.ts";
import { batchResponse, deleteResponse, setResponse, updateResponse } from "./results.ts";

/** Most requests of one stream of writes under way; beyond it the stream is not read. */
const MAX_IN_FLIGHT = 1000;

/**
 * Answers a stream of writes: requests are started in the order sent, so that those of one group take
 * effect in that order, and answered as they finish. An error ends only its own request. The end of
 * the requests drains: the answers end after the last one. So does `draining`, whose reason is then
 * the error of the stream. `caller` ends it at once: the deadline passed, or the caller is gone.
 */
export async function* answerWrites(
  handlers: Handlers,
  messages: AsyncIterable<Uint8Array>,
  reader: RequestReader<WriteRequest>,
  json: boolean,
  draining: AbortSignal,
  caller: AbortSignal,
): AsyncGenerator<WriteResponse, void> {
  const answers: WriteResponse[] = [];
  let inFlight = 0;
  let ended: { readonly error?: unknown } | undefined;
  let wake = () => {};
  let proceed = () => {};

  const end = (why: { readonly error?: unknown }) => {
    ended ??= why;
    wake();
    proceed();
  };
  const onDraining = () => end({ error: draining.reason });
  const onCaller = () => end({ error: caller.reason });
  draining.addEventListener("abort", onDraining, { once: true });
  caller.addEventListener("abort", onCaller, { once: true });
  if (draining.aborted) onDraining();

  const consume = async () => {
    for await (const bytes of messages) {
      if (ended !== undefined) return;
      inFlight++;
      void answer(handlers, bytes, reader, json).then((response) => {
        inFlight--;
        answers.push(response);
        wake();
        proceed();
      });
      // Answers that nobody takes count too: a client that does not read is not read either.
      while (inFlight + answers.length >= MAX_IN_FLIGHT && ended === undefined) {
        await new Promise<void>((resolve) => (proceed = resolve));
      }
      if (ended !== undefined) return;
    }
  };
  void consume().then(
    () => end({}),
    (error: unknown) => end({ error }),
  );

  try {
    for (;;) {
      caller.throwIfAborted();
      const response = answers.shift();
      if (response !== undefined) {
        proceed();
        yield response;
      } else if (ended !== undefined && inFlight === 0) {
        if (ended.error !== undefined) throw ended.error;
        return;
      } else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    draining.removeEventListener("abort", onDraining);
    caller.removeEventListener("abort", onCaller);
    end({});
  }
}

async function answer(
  handlers: Handlers,
  bytes: Uint8Array,
  reader: RequestReader<WriteRequest>,
  json: boolean,
): Promise<WriteResponse> {
  let requestId: bigint | undefined;
  try {
    const request = reader.decode(bytes, json);
    requestId = BigInt(request.requestId);
    return create(WriteResponseSchema, { requestId, result: await perform(handlers, request) });
  } catch (error) {
    const { code, reason, message, metadata } = StreamError.from(error);
    requestId ??= json ? requestIdOfJson(bytes) : requestIdOfBinary(bytes);
    const value = { code, reason, message, metadata: { ...metadata } };
    return create(WriteResponseSchema, { requestId, result: { case: "error", value } });
  }
}

type Result = NonNullable<MessageInitShape<typeof WriteResponseSchema>["result"]>;

// Handlers are called before anything is awaited, so that the store sees requests in the order sent.
async function perform(
  handlers: Handlers,
  { call, returnValues }: Decoded<WriteRequest>,
): Promise<Result> {
  const slim = returnValues ? {} : { oldValue: undefined, newValue: undefined };
  switch (call.case) {
    case "set":
      return { case: "set", value: setResponse({ ...(await handlers.set(call.value)), ...slim }) };
    case "update":
      return {
        case: "update",
        value: updateResponse({ ...(await handlers.update(toUpdateRequest(call.value))), ...slim }),
      };
    case "delete":
      return {
        case: "delete",
        value: deleteResponse({ ...(await handlers.delete(call.value)), ...slim }),
      };
    case "send":
      await handlers.send(call.value);
      return { case: "send", value: {} };
    case "batch": {
      const batch = toBatchRequest(call.value);
      const wanted = returnValues || batch.returnValues;
      return {
        case: "batch",
        value: batchResponse(await handlers.batch({ ...batch, returnValues: wanted })),
      };
    }
    case undefined:
      throw bodyInvalid("call is missing; it may be set, update, delete, send or batch.");
  }
}

/** The request id of a message that could not be decoded as a whole; 0 when there is none to be found. */
function requestIdOfBinary(bytes: Uint8Array): bigint {
  try {
    const reader = new BinaryReader(bytes);
    let id = 0n;
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === 1 && wireType === WireType.Varint) id = BigInt(reader.uint64());
      else reader.skip(wireType, field);
    }
    return id;
  } catch {
    return 0n;
  }
}

function requestIdOfJson(bytes: Uint8Array): bigint {
  try {
    const { requestId, request_id: alias } = JSON.parse(Buffer.from(bytes).toString()) as Record<
      string,
      unknown
    >;
    const id = BigInt((requestId ?? alias) as string);
    return id >= 0n && id < 2n ** 64n ? id : 0n;
  } catch {
    return 0n;
  }
}
