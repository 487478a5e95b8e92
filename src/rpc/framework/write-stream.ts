import {
  type WriteRequest,
  type WriteResponse,
  WriteResponseSchema,
} from "../../../gen/millrace/v1/stream_service_pb.ts";
import type { Throttle } from "../../limits/throttle.ts";
import type { Handlers } from "../../service/handlers.ts";
import { type WriteResult, writeEnvelope } from "../../wire/response/binary.ts";
import { openEnvelope } from "./open-envelope.ts";
import type { RequestReader } from "./request-reader.ts";
import { failedWrite, performWrite, requestIdOfBinary } from "../write-call.ts";
import { withoutTooDeep } from "../../core/nesting.ts";

/** Most requests of one stream of writes under way; beyond it the stream is not read. */
export const MAX_IN_FLIGHT = 1000;

/**
 * Answers a stream of writes: requests are started in the order sent, so that those of one group take
 * effect in that order, and answered as they finish. An error ends only its own request. The end of
 * the requests drains: the answers end after the last one. So does `draining`, whose reason is then
 * the error of the stream. `caller` ends it at once: the deadline passed, or the caller is gone.
 *
 * @param throttle Refuses requests that come too fast; undefined when no limit applies.
 */
export async function* answerWrites(
  handlers: Handlers,
  messages: AsyncIterable<Uint8Array>,
  reader: RequestReader<WriteRequest>,
  json: boolean,
  throttle: Throttle | undefined,
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
  // The consumer may wait for a client that is gone, and then it never asks again.
  const onCaller = () => {
    draining.removeEventListener("abort", onDraining);
    end({ error: caller.reason });
  };
  draining.addEventListener("abort", onDraining, { once: true });
  caller.addEventListener("abort", onCaller, { once: true });
  if (draining.aborted) onDraining();

  const consume = async () => {
    for await (const bytes of messages) {
      if (ended !== undefined) return;
      inFlight++;
      void answer(handlers, bytes, reader, json, throttle).then((response) => {
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
  throttle: Throttle | undefined,
): Promise<WriteResponse> {
  let requestId: bigint | undefined;
  let result: WriteResult;
  try {
    const request = reader.decode(bytes, json);
    requestId = BigInt(request.requestId);
    throttle?.call();
    result = await performWrite(handlers, request);
  } catch (error) {
    result = failedWrite(error);
    requestId ??= json ? requestIdOfJson(bytes) : requestIdOfBinary(bytes);
  }
  return openEnvelope(WriteResponseSchema, writeEnvelope(requestId, result));
}

function requestIdOfJson(bytes: Uint8Array): bigint {
  try {
    const json = new TextDecoder().decode(withoutTooDeep(bytes));
    const { requestId, request_id: alias } = JSON.parse(json) as Record<string, unknown>;
    const id = BigInt((requestId ?? alias) as string);
    return id >= 0n && id < 2n ** 64n ? id : 0n;
  } catch {
    return 0n;
  }
}
