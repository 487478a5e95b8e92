import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { StreamService } from "../../../gen/millrace/v1/stream_service_pb.ts";
import type { Handlers } from "../../service/handlers.ts";
import { grpcTimeoutMs } from "../deadline.ts";
import type { GrpcMethod } from "./grpc-response.ts";
import type { CallTransport } from "../call-transport.ts";
import { grpcSubscribe } from "./grpc-subscribe.ts";
import { grpcUnary } from "./grpc-unary.ts";
import type { UnaryMethod } from "../unary-methods.ts";
import { grpcWrite } from "./grpc-write.ts";
import { BodyBudget } from "../../limits/body-budget.ts";

/**
 * Handles an HTTP/2 stream if the fast path can take it.
 *
 * @param transport Returns the transport of the call; called only when the stream is taken.
 * @returns false when the framework has to handle the stream.
 */
export type GrpcFastPath = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  transport: () => CallTransport,
) => boolean;

/**
 * The fast path of gRPC calls: from the HTTP/2 stream to the handlers and back, without the
 * framework.
 *
 * It takes plain gRPC requests only. Others (compression, JSON, another protocol) take the
 * framework path, with the same responses: both use the same handlers, decoders and errors.
 *
 * @param draining Aborted when streams of writes have to end; its reason is their error.
 * @param budget Limits the request bytes in memory.
 */
export function createGrpcFastPath(
  handlers: Handlers,
  unaryMethods: readonly UnaryMethod[],
  draining: AbortSignal,
  budget: BodyBudget = new BodyBudget(),
): GrpcFastPath {
  const prefix = `/${StreamService.typeName}/`;
  const methods = new Map<string, GrpcMethod>(
    [
      ...unaryMethods.map((each) => [each.of.name, grpcUnary(each, budget)] as const),
      [StreamService.method.subscribe.name, grpcSubscribe(handlers, budget)],
      [StreamService.method.write.name, grpcWrite(handlers, draining, budget)],
    ].map(([name, method]) => [`${prefix}${name as string}`, method as GrpcMethod]),
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
