import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { StreamService } from "../../../gen/millrace/v1/stream_service_pb.ts";
import type { Handlers } from "../../service/handlers.ts";
import { grpcTimeoutMs } from "../deadline.ts";
import type { LaneMethod } from "./grpc-response.ts";
import type { Transport } from "../framework/prepared-call.ts";
import { createSubscribeLane } from "./grpc-subscribe.ts";
import { createUnaryLane } from "./grpc-unary.ts";
import type { UnaryMethod } from "../unary-methods.ts";
import { createWriteLane } from "./grpc-write.ts";
import { BodyBudget } from "../../limits/body-budget.ts";

/**
 * Takes an HTTP/2 stream if it is for the lane.
 *
 * @param transport What is known of its transport; asked for only when the stream is taken.
 * @returns false when somebody else has to answer it.
 */
export type Lane = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  transport: () => Transport,
) => boolean;

/**
 * The short way of gRPC calls: from the HTTP/2 stream to the handlers and back, without a framework
 * between them.
 *
 * It takes plain gRPC requests only; whatever asks for more (compression, JSON, another protocol) goes the
 * long way, with the same answers: the same handlers, decoders and errors serve both.
 *
 * @param draining Aborted, with the error to tell, when streams of writes have to end.
 * @param budget What is held of requests is taken from it.
 */
export function createLane(
  handlers: Handlers,
  unaryMethods: readonly UnaryMethod[],
  draining: AbortSignal,
  budget: BodyBudget = new BodyBudget(),
): Lane {
  const prefix = `/${StreamService.typeName}/`;
  const methods = new Map<string, LaneMethod>(
    [
      ...unaryMethods.map((each) => [each.of.name, createUnaryLane(each, budget)] as const),
      [StreamService.method.subscribe.name, createSubscribeLane(handlers, budget)],
      [StreamService.method.write.name, createWriteLane(handlers, draining, budget)],
    ].map(([name, method]) => [`${prefix}${name as string}`, method as LaneMethod]),
  );
  return (stream, headers, transport) => {
    const method = methods.get(headers[":path"] ?? "");
    if (method === undefined || !isPlainGrpc(headers)) return false;
    stream.on("error", () => {});
    method(stream, headers, transport());
    return true;
  };
}

function isPlainGrpc(headers: IncomingHttpHeaders): boolean {
  const type = headers["content-type"];
  const encoding = headers["grpc-encoding"];
  const timeout = headers["grpc-timeout"];
  return (
    headers[":method"] === "POST" &&
    (type === "application/grpc" || type === "application/grpc+proto") &&
    (encoding === undefined || encoding === "identity") &&
    (timeout === undefined || grpcTimeoutMs(String(timeout)) !== undefined)
  );
}
