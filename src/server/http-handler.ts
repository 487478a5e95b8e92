import { IncomingMessage, ServerResponse } from "node:http";
import { constants } from "node:http2";
import { createConnectRouter, createContextValues } from "@connectrpc/connect";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { AdminService } from "../../gen/millrace/v1/admin_service_pb.ts";
import { StreamService } from "../../gen/millrace/v1/stream_service_pb.ts";
import { WorkerService } from "../../gen/millrace/v1/worker_service_pb.ts";
import { createConnectFastPath } from "../rpc/fast-path/connect-unary.ts";
import { withEarlyHeaders } from "../rpc/framework/early-headers.ts";
import { withDeadline } from "../rpc/deadline.ts";
import { type CallHandler, isPrepared, prepareCalls } from "../rpc/framework/prepared-call.ts";
import type { CallTransport } from "../rpc/call-transport.ts";
import { MAX_SMALL_REQUEST_BYTES } from "../rpc/request-limits.ts";
import { withPlainGrpcMessage } from "../rpc/grpc-message.ts";
import { fromGrpcWebText, isGrpcWebText, toGrpcWebText } from "../rpc/framework/grpc-web-text.ts";
import { type Health, healthRoutes } from "../rpc/services/health.ts";
import { withResponseHeaders } from "../rpc/response-headers.ts";
import { reflectionRoutes } from "../rpc/services/reflection.ts";
import { adminRoutes } from "../rpc/services/admin.ts";
import type { Administration } from "../service/administration.ts";
import { streamRoutes } from "../rpc/framework/routes.ts";
import type { UnaryMethod } from "../rpc/unary-methods.ts";
import { StreamError } from "../core/errors.ts";
import { retryHeaders } from "../rpc/connect-error.ts";
import type { Handlers } from "../service/handlers.ts";
import { answerPreflight, exposeTo } from "./cors.ts";
import { dismissStream } from "../rpc/dismiss.ts";
import { exchangeOver1 } from "./connect-exchange.ts";
import type { CallerFacts } from "./caller-facts.ts";
import type { Callers } from "./callers.ts";
import { connectionOf, factsOf } from "./connections.ts";
import type { Permits } from "./permits.ts";
import type { Request, RequestListener, Response } from "./port/listener.ts";
import { type Workers, workerRoutes } from "./worker-routes.ts";
import { type StaticPages, answerStatic, loadDemoPage } from "./static-pages.ts";
import type { BodyBudget } from "../limits/body-budget.ts";

/** Dependencies of the HTTP handler. */
export interface HttpHandlerOptions {
  readonly handlers: Handlers;
  /** The unary methods over these handlers. */
  readonly unaryMethods: readonly UnaryMethod[];
  readonly workers: Workers;
  readonly administration: Administration;
  readonly callers: Callers;
  readonly permits: Permits;
  readonly health: Health;
  /** Limits the bytes of bodies in memory. */
  readonly bodies: BodyBudget;
  /** Aborted when the service shuts down; ends write streams. */
  readonly draining: AbortSignal;
  /** Called with failures that no caller receives. */
  readonly onError: (error: unknown, path: string) => void;
}

/** An RPC method on the framework path. */
interface Route {
  readonly call: CallHandler;
  readonly handler: UniversalHandler;
}
/** Services of our own, with access rules; anybody may call the others. */
export const OUR_SERVICES: readonly string[] = [
  StreamService.typeName,
  WorkerService.typeName,
  AdminService.typeName,
];
/** A gRPC content type with parameters, which the service ignores. */
const GRPC_PARAMETERS = /^(application\/grpc[^;\s]*)\s*;.*$/i;

/** Serves every request of the port: RPC in all three protocols, health, CORS, the demo page. */
export function createHttpHandler(options: HttpHandlerOptions): RequestListener {
  const { callers, permits, health } = options;
  const calls = createCalls(options);
  const connectFastPath = createConnectFastPath(options.unaryMethods, options.bodies);
  const pages = loadPages(options);
  return (request, response) => {
    const path = request.url?.split("?", 1)[0] ?? "";
    // Over HTTP/2 a response finishes only with its whole stream.
    if ("stream" in response) {
      const { stream } = response;
      stream.once("finish", () => {
        request.resume();
        if (!request.complete) dismissStream(stream);
      });
    }
    const facts = factsOf(request);
    const isTaken =
      request instanceof IncomingMessage &&
      response instanceof ServerResponse &&
      connectFastPath(exchangeOver1(request, response), () => transportOfRequest(request, permits));
    if (isTaken) return;
    response.setHeader("vary", "Origin");
    if (facts.origin !== undefined && callers.allowsOrigin(facts)) {
      exposeTo(facts.origin, response);
      if (request.method === "OPTIONS") {
        if (!refuseTooFast(permits, facts, request, response)) answerPreflight(request, response);
        return;
      }
    }
    const route = calls.get(path);
    const page = pages.get(path);
    if (route !== undefined) {
      serveCall(route, request, response, permits).catch((error: unknown) =>
        options.onError(error, path),
      );
    } else if (refuseTooFast(permits, facts, request, response)) return;
    else if (page !== undefined) answerStatic(page, request, response);
    else if (path === "/healthz") serveHealth(request, response, health);
    else
      respond(
        response,
        404,
        "Not found. This is Millrace: RPC is under /millrace.v1.StreamService/, a demo at /demo.\n",
      );
  };
}

/** Loads the demo page. If it cannot be read, the service runs without it. */
function loadPages({ onError }: HttpHandlerOptions): StaticPages {
  try {
    return loadDemoPage();
  } catch (error) {
    onError(error, "/demo");
    return new Map();
  }
}

function createCalls(options: HttpHandlerOptions): Map<string, Route> {
  const { handlers, unaryMethods, workers, administration, health, draining, bodies } = options;
  const router = createConnectRouter({
    acceptCompression: [compressionGzip, compressionBrotli],
    // The framework reads stand-ins for requests, and the requests whose format we do not read.
    readMaxBytes: MAX_SMALL_REQUEST_BYTES,
    jsonOptions: { ignoreUnknownFields: false },
  });
  streamRoutes(router, handlers, unaryMethods, draining);
  workerRoutes(router, workers, draining);
  adminRoutes(router, administration);
  healthRoutes(router, health);
  reflectionRoutes(router, draining);
  return new Map(
    router.handlers.map((handler): [string, Route] => [
      handler.requestPath,
      {
        handler,
        call: withDeadline(
          prepareCalls(handler, bodies, !OUR_SERVICES.includes(handler.service.typeName)),
        ),
      },
    ]),
  );
}

async function serveCall(
  { call, handler }: Route,
  request: Request,
  response: Response,
  permits: Permits,
) {
  const transport = transportOfRequest(request, permits);
  const type = request.headers["content-type"];
  if (type !== undefined) request.headers["content-type"] = type.replace(GRPC_PARAMETERS, "$1");
  const values = createContextValues();
  let universal;
  try {
    universal = universalRequestFromNodeRequest(request, response, undefined, values);
  } catch {
    if (refuseTooFast(permits, factsOf(request), request, response)) return;
    return respond(response, 400, "Bad request: it has no valid host.\n");
  }
  try {
    const isText = isGrpcWebText(universal.header.get("content-type"));
    const incoming = isText ? fromGrpcWebText(universal) : universal;
    if (!isPrepared(incoming) && refuseTooFast(permits, factsOf(request), request, response))
      return;
    const result = await withEarlyHeaders(values, () => call(incoming, transport));
    // The last step: copies of its result would read the trailers before the body has filled them.
    const complete = withPlainGrpcMessage(withResponseHeaders(result, handler));
    await universalResponseToNodeResponse(isText ? toGrpcWebText(complete) : complete, response);
  } catch (error) {
    // The peer is gone: nobody is left to receive a response.
    if (universal.signal.aborted) return;
    throw error;
  }
}

function transportOfRequest(request: Request, permits: Permits): CallTransport {
  const connection = connectionOf(request);
  return {
    enter: (method) => permits.enter(method, factsOf(request), connection),
    address: () => permits.addressOf(connection),
    abort: () => {
      if ("stream" in request) request.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      else request.socket.destroy();
    },
  };
}

/** Refuses a request that exceeds its caller's rate. @returns Whether it did. */
function refuseTooFast(permits: Permits, facts: CallerFacts, request: Request, response: Response) {
  try {
    permits.count(facts, connectionOf(request));
    return false;
  } catch (refusal) {
    const error = StreamError.from(refusal);
    for (const [name, value] of Object.entries(retryHeaders(error) ?? {}))
      response.setHeader(name, value);
    respond(response, 429, `${error.message}\n`);
    return true;
  }
}

function serveHealth(request: Request, response: Response, health: Health): void {
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return respond(response, 405, "Use GET.\n");
  }
  const serving = health.status === "serving";
  respond(
    response,
    serving ? 200 : 503,
    `${JSON.stringify({ status: health.status })}\n`,
    "application/json",
  );
}

function respond(
  response: Response,
  status: number,
  body: string,
  type = "text/plain; charset=utf-8",
): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": String(Buffer.byteLength(body)),
  });
  response.end(body);
}
