import type { DescMessage } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  StreamService,
  type SubscribeRequest,
  type SubscribeResponse,
  SubscribeResponseSchema,
  type WriteRequest,
  type WriteResponse,
  WriteResponseSchema,
} from "../../../gen/millrace/v1/stream_service_pb.ts";
import { type Frame, frameBytes, hasAuthor } from "../../core/frame.ts";
import { END_GRACE_MS } from "../../limits/end-grace.ts";
import type { Caller } from "../../rights/caller.ts";
import type { Handlers } from "../../service/handlers.ts";
import type { Decoded } from "../../wire/request/decoded.ts";
import { frameEnvelope } from "../../wire/response/frame.ts";
import { createRecentForReaders } from "../../wire/response/encode-once.ts";
import { toConnectError } from "../connect-error.ts";
import { headersFirst } from "./early-headers.ts";
import { openEnvelope } from "./open-envelope.ts";
import { type PreparedCall, preparedCall } from "./prepared-call.ts";
import type { RequestReader } from "./request-reader.ts";
import type { UnaryMethod } from "../unary-methods.ts";
import { Moments } from "../../timers/moments.ts";
import { type CallEnd, callEnd } from "../call-end.ts";
import { answerWrites } from "./write-stream.ts";

/**
 * Registers `millrace.v1.StreamService` with the framework: takes the decoded request, calls the
 * handler and returns the message. No rule lives here.
 *
 * The framework takes protobuf-es messages, so the encoded response is decoded again. Only calls on
 * the framework path pay for that, and each form has a single encoder.
 *
 * @param draining Aborted when the service shuts down; streams of writes end with its reason.
 */
export function streamRoutes(
  router: ConnectRouter,
  handlers: Handlers,
  methods: readonly UnaryMethod[],
  draining: AbortSignal,
): void {
  const expiries = new Moments();
  const endOf = (caller: Caller) => callEnd(draining, caller, expiries);
  const unaryRoutes = Object.fromEntries(methods.map((each) => [each.of.localName, unary(each)]));
  router.service(StreamService, {
    ...(unaryRoutes as Partial<ServiceImpl<typeof StreamService>>),
    subscribe: (_request, context) => subscribe(handlers, context),
    write: (requests, context) => write(handlers, requests, context, endOf),
  });
}

function unary({ of, decoded }: UnaryMethod) {
  return async (_request: unknown, context: HandlerContext) => {
    try {
      const { message, caller } = permitted(context);
      const envelope = await unlessAborted(() => decoded(message, caller), context.signal);
      return openEnvelope<DescMessage>(of.output, envelope);
    } catch (error) {
      throw toConnectError(error);
    }
  };
}

/** A frame as a message. Decoded once for all current subscribers: do not modify. */
const frameMessage = createRecentForReaders(
  (frame: Frame, withAuthor): SubscribeResponse =>
    openEnvelope(SubscribeResponseSchema, frameEnvelope(frame, withAuthor)),
  hasAuthor,
  (_, frame) => frameBytes(frame) * TREE_FACTOR,
);

/** Approximate size of a decoded message, as a multiple of its encoded size. */
const TREE_FACTOR = 8;

async function* subscribe(
  handlers: Handlers,
  context: HandlerContext,
): AsyncGenerator<SubscribeResponse, void> {
  let resetTimer: NodeJS.Timeout | undefined;
  try {
    const { message, abort, caller, address } = permitted(context);
    const request = message as Decoded<SubscribeRequest>;
    const subscription = await handlers.subscribe({ ...request, address: address() }, caller);
    const withAuthors = handlers.seesAuthors(caller, request.streamName);
    const close = () => subscription.close();
    context.signal.addEventListener("abort", close, { once: true });
    if (context.signal.aborted) close();
    // A client that reads nothing cannot receive the error, so its stream is reset.
    subscription.onEnd(() => {
      if (subscription.error !== undefined) resetTimer = setTimeout(abort, END_GRACE_MS);
    });
    try {
      for await (const frame of subscription) yield frameMessage(frame, withAuthors);
    } finally {
      close();
      context.signal.removeEventListener("abort", close);
    }
    context.signal.throwIfAborted();
  } catch (error) {
    throw toConnectError(error);
  } finally {
    clearTimeout(resetTimer);
  }
}

async function* write(
  handlers: Handlers,
  requests: AsyncIterable<unknown>,
  context: HandlerContext,
  endOf: (caller: Caller) => CallEnd,
): AsyncGenerator<WriteResponse, void> {
  let end: CallEnd | undefined;
  try {
    const { messages, reader, format, throttle, caller } = permitted(context);
    if (messages === undefined || reader === undefined || format === undefined) {
      // The framework refuses a format that we do not read when its first message is requested.
      await requests[Symbol.asyncIterator]().next();
      return;
    }
    yield* headersFirst(context.values, WriteResponseSchema);
    end = endOf(caller);
    yield* answerWrites(
      handlers,
      messages,
      reader as RequestReader<WriteRequest>,
      format.json,
      caller,
      throttle,
      end.signal,
      context.signal,
    );
  } catch (error) {
    throw toConnectError(error);
  } finally {
    end?.release();
  }
}

/** The prepared call, unless it was refused. */
function permitted(context: HandlerContext): PreparedCall {
  const call = context.values.get(preparedCall);
  if (call.refusal !== undefined) throw call.refusal;
  return call;
}

/** Runs unless the signal is aborted. Rejects with its reason as soon as it is. */
async function unlessAborted<T>(run: () => Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([run(), aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
