import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { StreamService, type WriteRequest } from "../../../gen/millrace/v1/stream_service_pb.ts";
import type { Throttle } from "../../limits/throttle.ts";
import type { Handlers } from "../../service/handlers.ts";
import { compileBinaryDecoder } from "../../wire/request/binary-decoder.ts";
import type { Decoded } from "../../wire/request/decoded.ts";
import { type WriteResult, writeEnvelope } from "../../wire/response/binary.ts";
import { EnvelopeSplitter, checkFlags, bodyCutShort } from "../envelope.ts";
import {
  type LaneMethod,
  isGone,
  letGo,
  respondStreaming,
  timeoutOf,
  trailersOf,
} from "./grpc-response.ts";
import type { Transport } from "../framework/prepared-call.ts";
import { failedWrite, performWrite, requestIdOfBinary } from "../write-call.ts";
import { MAX_IN_FLIGHT } from "../framework/write-stream.ts";
import { type Timer, startTimer } from "../../timers/timers.ts";
import { deadlineExceeded } from "../deadline.ts";
import type { BodyBudget } from "../../limits/body-budget.ts";
import { maxRequestBytes } from "../request-limits.ts";

const { write } = StreamService.method;
/** Answers that are written with one call, at most, in bytes. */
const JOIN_BYTES = 64 * 1024;

type Decode = (bytes: Uint8Array) => Decoded<WriteRequest>;

/** Streams of writes: many requests in, as many answers out. @see answerWrites for what it promises */
export function createWriteLane(
  handlers: Handlers,
  draining: AbortSignal,
  budget: BodyBudget,
): LaneMethod {
  const decode: Decode = compileBinaryDecoder(write.input);
  return (stream, headers, transport) => {
    let throttle: Throttle | undefined;
    const permit: Transport["permit"] = (method) => (throttle = transport.permit(method));
    const call = new WriteCall(
      stream,
      (bytes, reply) => answerOne(handlers, decode, throttle, bytes, reply),
      draining,
      budget,
    );
    call.begin(headers, { ...transport, permit });
  };
}

/** Takes the answer to a request, enveloped. */
type Reply = (answer: Uint8Array) => void;

/** Answers one request, sooner or later. The handler is called at once. */
function answerOne(
  handlers: Handlers,
  decode: Decode,
  throttle: Throttle | undefined,
  bytes: Uint8Array,
  reply: Reply,
): void {
  let requestId: number | bigint | undefined;
  const envelope = (done: WriteResult) =>
    writeEnvelope(requestId ?? requestIdOfBinary(bytes), done);
  const fail = (error: unknown) => reply(envelope(failedWrite(error)));
  const finish = (done: WriteResult) => {
    let answer: Uint8Array;
    try {
      answer = envelope(done);
    } catch (error) {
      return fail(error);
    }
    reply(answer);
  };
  try {
    const request = decode(bytes);
    requestId = request.requestId;
    throttle?.call();
    void performWrite(handlers, request).then(finish, fail);
  } catch (error) {
    fail(error);
  }
}

/**
 * One stream of writes.
 *
 * Requests are begun in the order sent, and answered as they finish; what is answered in one turn of the
 * event loop goes out in one write. While too many are under way, or the client does not take its
 * answers, the stream is not read.
 */
class WriteCall {
  readonly #stream: ServerHttp2Stream;
  readonly #answer: (bytes: Uint8Array, reply: Reply) => void;
  readonly #draining: AbortSignal;
  readonly #splitter: EnvelopeSplitter;
  #answers: Uint8Array[] = [];
  #inFlight = 0;
  #isFlushing = false;
  #isBlocked = false;
  #isPaused = false;
  /** No more requests come: they have ended, or nobody wants them. */
  #hasEnded = false;
  #failure: unknown;
  #isOver = false;
  #timer: Timer | undefined;

  constructor(
    stream: ServerHttp2Stream,
    answer: (bytes: Uint8Array, reply: Reply) => void,
    draining: AbortSignal,
    budget: BodyBudget,
  ) {
    this.#stream = stream;
    this.#answer = answer;
    this.#draining = draining;
    this.#splitter = new EnvelopeSplitter({
      maxBytes: maxRequestBytes(write),
      budget,
      onLate: (refusal) => this.#endRequests(refusal),
    });
  }

  begin(headers: IncomingHttpHeaders, { permit }: Transport): void {
    const stream = this.#stream;
    const timeoutMs = timeoutOf(headers);
    if (timeoutMs !== undefined) {
      const late = () => this.#finish(deadlineExceeded());
      this.#timer = startTimer(timeoutMs, late);
    }
    try {
      permit(write);
    } catch (refusal) {
      return this.#finish(refusal);
    }
    const drain = () => this.#endRequests(this.#draining.reason);
    this.#draining.addEventListener("abort", drain, { once: true });
    stream.on("close", () => {
      this.#draining.removeEventListener("abort", drain);
      this.#timer?.cancel();
      this.#isOver = true;
      this.#splitter.release();
    });
    if (this.#draining.aborted) return drain();
    // Who waits for the headers before it writes gets them now.
    if (!isGone(stream)) respondStreaming(stream);
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    stream.on("end", () => {
      if (this.#splitter.isAtEnd) this.#endRequests(undefined);
      else this.#endRequests(bodyCutShort());
    });
    stream.on("drain", () => {
      this.#isBlocked = false;
      this.#flushSoon();
      this.#review();
    });
  }

  #take(chunk: Buffer): void {
    if (this.#hasEnded) return;
    try {
      this.#splitter.push(chunk, ({ flags, data }) => {
        checkFlags(flags);
        this.#start(data);
      });
    } catch (error) {
      return this.#endRequests(error);
    }
    this.#review();
  }

  #start(message: Uint8Array): void {
    this.#inFlight++;
    this.#answer(message, this.#reply);
  }

  readonly #reply: Reply = (answer) => {
    this.#inFlight--;
    this.#answers.push(answer);
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
    const answers = this.#answers;
    let from = 0;
    while (from < answers.length && !this.#isBlocked) {
      let to = from;
      let bytes = 0;
      while (to < answers.length && bytes < JOIN_BYTES) bytes += answers[to++]?.length ?? 0;
      const joined =
        to - from === 1 ? answers[from] : Buffer.concat(answers.slice(from, to), bytes);
      this.#isBlocked = !this.#stream.write(joined);
      from = to;
    }
    this.#answers = from === answers.length ? [] : answers.slice(from);
    this.#review();
  }

  /** Reads on, or not; ends when all is answered. */
  #review(): void {
    if (this.#isOver) return;
    const isFull = this.#inFlight + this.#answers.length >= MAX_IN_FLIGHT || this.#isBlocked;
    if (isFull !== this.#isPaused && !this.#hasEnded) {
      this.#isPaused = isFull;
      if (isFull) this.#stream.pause();
      else this.#stream.resume();
    }
    if (this.#hasEnded && this.#inFlight === 0 && this.#answers.length === 0)
      this.#finish(this.#failure);
  }

  /** Takes no more requests; those under way are answered. */
  #endRequests(failure: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#splitter.release();
    this.#failure = failure;
    this.#stream.resume();
    this.#review();
  }

  #finish(failure: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#hasEnded = true;
    this.#splitter.release();
    this.#timer?.cancel();
    const stream = this.#stream;
    if (isGone(stream)) return;
    stream.on("wantTrailers", () => stream.sendTrailers(trailersOf(failure)));
    respondStreaming(stream);
    stream.end();
    letGo(stream);
  }
}
