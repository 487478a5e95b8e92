import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { StreamService, type WriteRequest } from "../../../gen/millrace/v1/stream_service_pb.ts";
import type { Throttle } from "../../limits/throttle.ts";
import type { Handlers } from "../../service/handlers.ts";
import { compileBinaryDecoder } from "../../wire/request/binary-decoder.ts";
import type { Decoded } from "../../wire/request/decoded.ts";
import { type WriteResult, writeEnvelope } from "../../wire/response/binary.ts";
import { EnvelopeSplitter, checkFlags, bodyCutShort } from "../envelope.ts";
import {
  type GrpcMethod,
  isGone,
  respondStreaming,
  timeoutOf,
  trailersOf,
} from "./grpc-response.ts";
import { dismissStream } from "../dismiss.ts";
import type { Caller } from "../../rights/caller.ts";
import type { CallTransport, EnteredCall } from "../call-transport.ts";
import { failedWrite, performWrite, requestIdOfBinary } from "../write-call.ts";
import { MAX_IN_FLIGHT } from "../framework/write-stream.ts";
import { type Timer, startTimer } from "../../timers/timers.ts";
import { deadlineExceeded } from "../deadline.ts";
import { Moments } from "../../timers/moments.ts";
import { type CallEnd, callEnd } from "../call-end.ts";
import type { BodyBudget } from "../../limits/body-budget.ts";
import { maxRequestBytes } from "../request-limits.ts";

const { write } = StreamService.method;
/** Size at which a write takes no more responses, in bytes. */
const JOIN_BYTES = 64 * 1024;

type Decode = (bytes: Uint8Array) => Decoded<WriteRequest>;

/** The fast path of Write: a stream of requests in, a response to each out. @see answerWrites */
export function grpcWrite(
  handlers: Handlers,
  draining: AbortSignal,
  budget: BodyBudget,
): GrpcMethod {
  const decode: Decode = compileBinaryDecoder(write.input);
  const expiries = new Moments();
  const endOf = (caller: Caller) => callEnd(draining, caller, expiries);
  return (stream, headers, transport) =>
    new WriteCall(
      stream,
      (bytes, entered, reply) => performOne(handlers, decode, entered, bytes, reply),
      endOf,
      budget,
    ).begin(headers, transport);
}

/** The caller of a stream of writes, and the limit of its rate. */
interface Entered {
  readonly caller: Caller;
  readonly throttle: Throttle | undefined;
}

/** Receives the enveloped response to a request. */
type Reply = (response: Uint8Array) => void;

/** Performs one request and replies when it is done. The handler is called before this returns. */
function performOne(
  handlers: Handlers,
  decode: Decode,
  { caller, throttle }: Entered,
  bytes: Uint8Array,
  reply: Reply,
): void {
  let requestId: number | bigint | undefined;
  const envelope = (done: WriteResult) =>
    writeEnvelope(requestId ?? requestIdOfBinary(bytes), done);
  const fail = (error: unknown) => reply(envelope(failedWrite(error)));
  const finish = (done: WriteResult) => {
    let response: Uint8Array;
    try {
      response = envelope(done);
    } catch (error) {
      return fail(error);
    }
    reply(response);
  };
  try {
    const request = decode(bytes);
    requestId = request.requestId;
    throttle?.call();
    void performWrite(handlers, request, caller).then(finish, fail);
  } catch (error) {
    fail(error);
  }
}

type Perform = (bytes: Uint8Array, entered: Entered, reply: Reply) => void;

/**
 * One stream of writes.
 *
 * Requests start in the order sent, and their responses go out as they finish; the responses of one
 * turn of the event loop are joined. While too many requests are in flight, or the client does not
 * read its responses, the stream is paused.
 *
 * `answerWrites` of the framework path does the same with async iterators, whose backpressure
 * differs.
 */
class WriteCall {
  readonly #stream: ServerHttp2Stream;
  readonly #perform: Perform;
  readonly #endOf: (caller: Caller) => CallEnd;
  readonly #budget: BodyBudget;
  #splitter: EnvelopeSplitter | undefined;
  #responses: Uint8Array[] = [];
  #inFlight = 0;
  #isFlushing = false;
  #isBlocked = false;
  #isPaused = false;
  /** Whether no more requests are accepted: they have ended, or the call ends. */
  #hasEnded = false;
  #failure: unknown;
  #isOver = false;
  #timer: Timer | undefined;

  constructor(
    stream: ServerHttp2Stream,
    perform: Perform,
    endOf: (caller: Caller) => CallEnd,
    budget: BodyBudget,
  ) {
    this.#stream = stream;
    this.#perform = perform;
    this.#endOf = endOf;
    this.#budget = budget;
  }

  begin(headers: IncomingHttpHeaders, transport: CallTransport): void {
    const timeoutMs = timeoutOf(headers);
    if (timeoutMs !== undefined) {
      const expire = () => this.#finish(deadlineExceeded());
      this.#timer = startTimer(timeoutMs, expire);
    }
    const refuse = (refusal: unknown) => this.#finish(refusal);
    try {
      const entry = transport.enter(write);
      const { caller } = entry;
      if (caller instanceof Promise)
        void caller.then((found) => this.#receive({ ...entry, caller: found }), refuse);
      else this.#receive({ ...entry, caller });
    } catch (refusal) {
      refuse(refusal);
    }
  }

  #receive(entered: Entered & Pick<EnteredCall, "openAccount">): void {
    const stream = this.#stream;
    if (this.#isOver || isGone(stream)) return;
    const end = (refusal: unknown) => this.#endRequests(refusal);
    const splitter = new EnvelopeSplitter({
      maxBytes: maxRequestBytes(write),
      budget: entered.openAccount?.(end) ?? this.#budget,
      onLate: end,
    });
    this.#splitter = splitter;
    const ending = this.#endOf(entered.caller);
    const { signal } = ending;
    const endByService = () => end(signal.reason);
    signal.addEventListener("abort", endByService, { once: true });
    stream.on("close", () => {
      signal.removeEventListener("abort", endByService);
      ending.release();
      this.#timer?.cancel();
      this.#isOver = true;
      splitter.release();
    });
    if (signal.aborted) return endByService();
    // A client may wait for the headers before it sends its first request.
    respondStreaming(stream);
    stream.on("data", (chunk: Buffer) => this.#take(splitter, entered, chunk));
    stream.on("end", () => end(splitter.isAtEnd ? undefined : bodyCutShort()));
    stream.on("drain", () => {
      this.#isBlocked = false;
      this.#flushSoon();
      this.#updateFlow();
    });
  }

  #take(splitter: EnvelopeSplitter, entered: Entered, chunk: Buffer): void {
    if (this.#hasEnded) return;
    try {
      splitter.push(chunk, ({ flags, data }) => {
        checkFlags(flags);
        this.#inFlight++;
        this.#perform(data, entered, this.#reply);
      });
    } catch (error) {
      return this.#endRequests(error);
    }
    this.#updateFlow();
  }

  readonly #reply: Reply = (response) => {
    this.#inFlight--;
    this.#responses.push(response);
    this.#flushSoon();
  };

  #flushSoon(): void {
    if (this.#isFlushing || this.#isBlocked) return;
    this.#isFlushing = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushing = false;
    if (this.#isOver) return;
    const responses = this.#responses;
    let from = 0;
    while (from < responses.length && !this.#isBlocked) {
      let to = from;
      let bytes = 0;
      while (to < responses.length && bytes < JOIN_BYTES) bytes += responses[to++]?.length ?? 0;
      const joined =
        to - from === 1 ? responses[from] : Buffer.concat(responses.slice(from, to), bytes);
      this.#isBlocked = !this.#stream.write(joined);
      from = to;
    }
    this.#responses = from === responses.length ? [] : responses.slice(from);
    this.#updateFlow();
  }

  /** Pauses or resumes the stream; finishes the call after the last response. */
  #updateFlow(): void {
    if (this.#isOver) return;
    const isFull = this.#inFlight + this.#responses.length >= MAX_IN_FLIGHT || this.#isBlocked;
    if (isFull !== this.#isPaused && !this.#hasEnded) {
      this.#isPaused = isFull;
      if (isFull) this.#stream.pause();
      else this.#stream.resume();
    }
    if (this.#hasEnded && this.#inFlight === 0 && this.#responses.length === 0)
      this.#finish(this.#failure);
  }

  /** Accepts no more requests; those in flight still get their responses. */
  #endRequests(failure: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#splitter?.release();
    this.#failure = failure;
    this.#stream.resume();
    this.#updateFlow();
  }

  #finish(failure: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#hasEnded = true;
    this.#splitter?.release();
    this.#timer?.cancel();
    const stream = this.#stream;
    if (isGone(stream)) return;
    stream.on("wantTrailers", () => stream.sendTrailers(trailersOf(failure)));
    respondStreaming(stream);
    stream.end();
    dismissStream(stream);
  }
}
