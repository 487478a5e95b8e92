import {
  type WriteRequest,
  type WriteResponse,
  WriteResponseSchema,
} from "../../../gen/millrace/v1/stream_service_pb.ts";
import type { Throttle } from "../../limits/throttle.ts";
import type { Caller } from "../../rights/caller.ts";
import type { Handlers } from "../../service/handlers.ts";
import { type WriteResult, writeEnvelope } from "../../wire/response/binary.ts";
import { openEnvelope } from "./open-envelope.ts";
import type { RequestReader } from "./request-reader.ts";
import { failedWrite, performWrite, requestIdOfBinary } from "../write-call.ts";
import { withoutTooDeep } from "../../core/nesting.ts";

/** Most requests of one stream of writes in flight; at this number the stream is not read. */
export const MAX_IN_FLIGHT = 1000;

/**
 * Answers a stream of writes: requests start in the order sent, so that those of one group take
 * effect in that order, and their responses go out as they finish. An error ends only its own
 * request.
 *
 * When the requests end, the stream drains: it ends after the last response. `ending` does the
 * same, and its reason is the error of the stream. `signal` ends the stream at once: the deadline
 * has passed or the caller has disconnected.
 *
 * The fast path does the same in grpc-write, without async iterators, whose backpressure differs.
 *
 * @param throttle Refuses requests beyond the rate limit; undefined when no limit applies.
 */
export async function* answerWrites(
  handlers: Handlers,
  messages: AsyncIterable<Uint8Array>,
  reader: RequestReader<WriteRequest>,
  json: boolean,
  caller: Caller,
  throttle: Throttle | undefined,
  ending: AbortSignal,
  signal: AbortSignal,
): AsyncGenerator<WriteResponse, void> {
  const responses: WriteResponse[] = [];
  let inFlight = 0;
  let ended: { readonly error?: unknown } | undefined;
  let wake = () => {};
  let proceed = () => {};

  const end = (outcome: { readonly error?: unknown }) => {
    ended ??= outcome;
    wake();
    proceed();
  };
  const onEnding = () => end({ error: ending.reason });
  // The consumer may be blocked on a client that is gone, and never ask for the next response.
  const onCaller = () => {
    ending.removeEventListener("abort", onEnding);
    end({ error: signal.reason });
  };
  ending.addEventListener("abort", onEnding, { once: true });
  signal.addEventListener("abort", onCaller, { once: true });
  if (ending.aborted) onEnding();

  const consume = async () => {
    for await (const bytes of messages) {
      if (ended !== undefined) return;
      inFlight++;
      void perform(handlers, bytes, reader, json, caller, throttle).then((response) => {
        inFlight--;
        responses.push(response);
        wake();
        proceed();
      });
      // Unread responses count too: a client that does not read is not read from.
      while (inFlight + responses.length >= MAX_IN_FLIGHT && ended === undefined) {
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
      signal.throwIfAborted();
      const response = responses.shift();
      if (response !== undefined) {
        proceed();
        yield response;
      } else if (ended !== undefined && inFlight === 0) {
        if (ended.error !== undefined) throw ended.error;
        return;
      } else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    ending.removeEventListener("abort", onEnding);
    signal.removeEventListener("abort", onCaller);
    end({});
  }
}

async function perform(
  handlers: Handlers,
  bytes: Uint8Array,
  reader: RequestReader<WriteRequest>,
  json: boolean,
  caller: Caller,
  throttle: Throttle | undefined,
): Promise<WriteResponse> {
  let requestId: bigint | undefined;
  let result: WriteResult;
  try {
    const request = reader.decode(bytes, json);
    requestId = BigInt(request.requestId);
    throttle?.call();
    result = await performWrite(handlers, request, caller);
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
