import type { ServerHttp2Stream } from "node:http2";
import { checkFlags } from "./envelope-splitter.ts";
import { type LaneMethod, letGo, respond, timeoutOf, trailersOf } from "./lane-answer.ts";
import { MAX_REQUEST_BYTES, bodyInvalid, bodyTooLarge } from "./request-body.ts";
import { UnaryCall } from "./unary-call.ts";
import type { UnaryMethod } from "./unary-methods.ts";

const PREFIX_BYTES = 5;

/** The short way of a gRPC call that takes one message and gives one. */
export function createUnaryLane({ of, binary }: UnaryMethod): LaneMethod {
  return (stream, headers, transport) =>
    new GrpcUnaryCall(stream, binary).begin(of, transport, timeoutOf(headers));
}

class GrpcUnaryCall extends UnaryCall<Uint8Array> {
  readonly #stream: ServerHttp2Stream;
  readonly #call: UnaryMethod["binary"];

  constructor(stream: ServerHttp2Stream, call: UnaryMethod["binary"]) {
    super(stream, MAX_REQUEST_BYTES + PREFIX_BYTES);
    this.#stream = stream;
    this.#call = call;
    stream.on("close", () => this.leave());
  }

  protected isTooLarge(first: Buffer): boolean {
    return first.length >= PREFIX_BYTES && first.readUInt32BE(1) > MAX_REQUEST_BYTES;
  }

  protected run(body: Buffer): Promise<Uint8Array> {
    return this.#call(messageOf(body));
  }

  protected send(answer: Uint8Array | undefined, failure: unknown): void {
    const stream = this.#stream;
    if (stream.destroyed) return;
    stream.on("wantTrailers", () => stream.sendTrailers(trailersOf(failure)));
    respond(stream);
    stream.end(answer);
    letGo(stream);
  }
}

/** The one message of a body. @throws StreamError REQUEST_INVALID unless there is exactly one, whole. */
function messageOf(body: Buffer): Buffer {
  if (body.length === 0) throw bodyInvalid("The request has no message; this call takes one.");
  if (body.length < PREFIX_BYTES) throw cutShort();
  const size = body.readUInt32BE(1);
  if (size > MAX_REQUEST_BYTES) throw bodyTooLarge();
  const end = PREFIX_BYTES + size;
  if (body.length < end) throw cutShort();
  if (body.length > end)
    throw bodyInvalid("The request has more than one message; this call takes one.");
  checkFlags(body[0] ?? 0);
  return body.subarray(PREFIX_BYTES, end);
}

function cutShort() {
  return bodyInvalid("The request is cut short in the middle of a message.");
}
