import type { ServerHttp2Stream } from "node:http2";
import { checkFlags, PREFIX_BYTES, claimsMoreThan, singleEnvelope } from "../envelope.ts";
import { type GrpcMethod, isGone, respond, timeoutOf, trailersOf } from "./grpc-response.ts";
import { dismissStream } from "../dismiss.ts";
import { maxRequestBytes } from "../request-limits.ts";
import type { Caller } from "../../rights/caller.ts";
import { UnaryCall } from "./unary-call.ts";
import type { UnaryMethod } from "../unary-methods.ts";
import type { BodyBudget } from "../../limits/body-budget.ts";

/** The fast path of a unary gRPC call. */
export function grpcUnary({ of, binary }: UnaryMethod, budget: BodyBudget): GrpcMethod {
  const maxBytes = maxRequestBytes(of);
  return (stream, headers, transport) =>
    new GrpcUnaryCall(stream, binary, maxBytes, budget).begin(of, transport, timeoutOf(headers));
}

class GrpcUnaryCall extends UnaryCall<Uint8Array> {
  readonly #stream: ServerHttp2Stream;
  readonly #call: UnaryMethod["binary"];
  readonly #maxBytes: number;

  constructor(
    stream: ServerHttp2Stream,
    call: UnaryMethod["binary"],
    maxBytes: number,
    budget: BodyBudget,
  ) {
    super(stream, maxBytes, PREFIX_BYTES, budget);
    this.#stream = stream;
    this.#maxBytes = maxBytes;
    this.#call = call;
    stream.on("close", () => this.leave());
  }

  protected isTooLarge(first: Buffer): boolean {
    return claimsMoreThan(first, this.#maxBytes);
  }

  protected run(body: Buffer, caller: Caller): Promise<Uint8Array> {
    const { flags, data } = singleEnvelope(body, this.#maxBytes);
    checkFlags(flags);
    return this.#call(data, caller);
  }

  protected send(response: Uint8Array | undefined, failure: unknown): void {
    const stream = this.#stream;
    if (isGone(stream)) return;
    stream.on("wantTrailers", () => stream.sendTrailers(trailersOf(failure)));
    respond(stream);
    stream.end(response);
    dismissStream(stream);
  }
}
