import type { ConnectError } from "@connectrpc/connect";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import {
  StreamService,
  type SubscribeRequest,
} from "../../../gen/millrace/v1/stream_service_pb.ts";
import { type Frame, hasAuthor } from "../../core/frame.ts";
import type { Handlers } from "../../service/handlers.ts";
import type { OpenAccount } from "../../limits/untrusted-bodies.ts";
import { compileBinaryDecoder } from "../../wire/request/binary-decoder.ts";
import type { Decoded } from "../../wire/request/decoded.ts";
import { frameEnvelope } from "../../wire/response/frame.ts";
import { type Joined, beginJoined } from "../../wire/response/joined.ts";
import { byteLengthOf, createRecentForReaders } from "../../wire/response/encode-once.ts";
import {
  type GrpcMethod,
  isGone,
  respondStreaming,
  timeoutOf,
  trailersOf,
} from "./grpc-response.ts";
import { dismissStream } from "../dismiss.ts";
import type { CallTransport } from "../call-transport.ts";
import { readGrpcMessage } from "../framework/request-reader.ts";
import { END_GRACE_MS } from "../../limits/end-grace.ts";
import { startTimer } from "../../timers/timers.ts";
import { deadlineExceeded } from "../deadline.ts";
import type { BodyBudget } from "../../limits/body-budget.ts";
import { maxRequestBytes } from "../request-limits.ts";

const { method } = StreamService;
/** Size at which a write takes no more frames, in bytes. */
const JOIN_BYTES = 64 * 1024;

/**
 * The fast path of Subscribe: from the subscription's frames to the HTTP/2 stream. A frame is
 * encoded once for all its subscribers, and the frames that are ready for one subscriber go out in
 * one write.
 */
export function grpcSubscribe(handlers: Handlers, budget: BodyBudget): GrpcMethod {
  const decode = compileBinaryDecoder(method.subscribe.input);
  const maxBytes = maxRequestBytes(method.subscribe);
  const read: Read = (stream, signal, openAccount) =>
    readGrpcMessage(stream, maxBytes, budget, decode, signal, openAccount);
  return (stream, headers, transport) => {
    serve(handlers, read, stream, headers, transport).catch(() => stream.destroy());
  };
}

/** Reads the request. Aborting the signal ends the wait. */
type Read = (
  stream: ServerHttp2Stream,
  signal: AbortSignal | undefined,
  openAccount: OpenAccount | undefined,
) => Promise<Decoded<SubscribeRequest>>;

async function serve(
  handlers: Handlers,
  read: Read,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  transport: CallTransport,
): Promise<void> {
  let failure: unknown;
  let late: ConnectError | undefined;
  const timeoutMs = timeoutOf(headers);
  const waiting = timeoutMs === undefined ? undefined : new AbortController();
  let onLate = () => waiting?.abort(late);
  const deadline =
    timeoutMs === undefined
      ? undefined
      : startTimer(timeoutMs, () => {
          late = deadlineExceeded();
          onLate();
        });
  stream.on("close", () => deadline?.cancel());
  stream.on("wantTrailers", () => stream.sendTrailers(trailersOf(failure)));
  try {
    const { caller, openAccount } = transport.enter(method.subscribe);
    const entering = Promise.resolve(caller);
    // A refusal ends the call after its request, as other refusals of the handler do.
    entering.catch(() => {});
    const request = await read(stream, waiting?.signal, openAccount);
    const found = await entering;
    const subscription = await handlers.subscribe(
      { ...request, address: transport.address() },
      found,
    );
    onLate = () => subscription.close();
    stream.on("close", onLate);
    if (isGone(stream) || late !== undefined) subscription.close();
    // A client that reads nothing cannot receive the error, so its stream is reset.
    let resetTimer: NodeJS.Timeout | undefined;
    subscription.onEnd(() => {
      if (subscription.error !== undefined)
        resetTimer = setTimeout(() => transport.abort(), END_GRACE_MS);
    });
    if (!isGone(stream)) respondStreaming(stream);
    await send(stream, subscription, handlers.seesAuthors(found, request.streamName));
    clearTimeout(resetTimer);
    failure = subscription.error;
  } catch (error) {
    failure = error;
  }
  deadline?.cancel();
  failure = late ?? failure;
  if (isGone(stream)) return;
  respondStreaming(stream);
  stream.end();
  dismissStream(stream);
}

type Subscription = Awaited<ReturnType<Handlers["subscribe"]>>;

/** Sends frames until the subscription or the stream ends. */
function send(
  stream: ServerHttp2Stream,
  subscription: Subscription,
  withAuthors: boolean,
): Promise<void> {
  return new Promise((resolve) => {
    const pump = () => {
      while (!isGone(stream)) {
        const joined = takeFrames(subscription, withAuthors);
        if (joined.byteLength > 0) {
          if (!stream.write(joined.bytes)) return void stream.once("drain", pump);
        } else if (subscription.ended) return resolve();
        else return subscription.onReadable(reader);
      }
      resolve();
    };
    const reader = { wake: pump };
    stream.on("close", resolve);
    pump();
  });
}

/** Takes the frames that are ready, joined. */
function takeFrames(subscription: Subscription, withAuthors: boolean): Joined {
  let joined = beginJoined();
  while (joined.byteLength < JOIN_BYTES) {
    const frame = subscription.read();
    if (frame === undefined) break;
    joined = joined.plus(envelopeOf(frame, withAuthors));
  }
  return joined;
}

/** A frame with its gRPC prefix. Encoded once for all current subscribers: do not modify. */
const envelopeOf = createRecentForReaders(
  (frame: Frame, withAuthor): Buffer => {
    const { buffer, byteOffset, byteLength } = frameEnvelope(frame, withAuthor);
    return Buffer.from(buffer, byteOffset, byteLength);
  },
  hasAuthor,
  byteLengthOf,
);
