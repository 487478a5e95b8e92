import type { CallTransport } from "../call-transport.ts";
import { createContextKey, createContextValues } from "@connectrpc/connect";
import type {
  UniversalHandler,
  UniversalServerRequest,
  UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import type { Throttle } from "../../limits/throttle.ts";
import { type Caller, NOBODY } from "../../rights/caller.ts";
import { bodyInvalid } from "../envelope.ts";
import { type RequestFormat, requestFormat } from "./request-format.ts";
import { type RequestReader, createRequestReader, isReadable } from "./request-reader.ts";
import type { BodyBudget } from "../../limits/body-budget.ts";

/** A call as an implementation finds it in its context: read, decoded and permitted, or refused. */
export interface PreparedCall {
  /** Why the call is refused before it starts. */
  readonly refusal?: unknown;
  /** The decoded message of a call with one request. */
  readonly message?: unknown;
  /** The encoded messages of a call with a stream of requests, and how to decode them. */
  readonly messages?: AsyncIterable<Uint8Array>;
  readonly reader?: RequestReader<unknown>;
  readonly format?: RequestFormat;
  /** Aborts the transport of the call when its client no longer reads. */
  readonly abort: () => void;
  /** The caller of a call that was let in. */
  readonly caller: Caller;
  /** @see CallTransport.address */
  readonly address: () => string | undefined;
  /**
   * Throttles the messages of a call with a stream of requests; undefined when no limit applies.
   */
  readonly throttle?: Throttle | undefined;
}

/** The context key of the prepared call. */
export const preparedCall = createContextKey<PreparedCall>({
  caller: NOBODY,
  abort: () => {},
  address: () => undefined,
});

/** Handles a call of one method. */
export type CallHandler = (
  request: UniversalServerRequest,
  transport: CallTransport,
) => Promise<UniversalServerResponse>;

/**
 * Puts our own request reading in front of a framework handler.
 *
 * The framework keeps what it is good at: framing and errors of three protocols, and compression of
 * responses. It receives an empty message; the real one, or the refusal, is in the context, where
 * the implementation finds it (see routes).
 *
 * @param budget Limits the request bytes in memory.
 * @param isOpen Whether anyone may call the method, as for health and reflection.
 */
export function prepareCalls(
  handler: UniversalHandler,
  budget: BodyBudget,
  isOpen = false,
): CallHandler {
  const { method } = handler;
  const reader = createRequestReader(method, budget) as RequestReader<unknown>;
  const isRequestStream =
    method.methodKind === "bidi_streaming" || method.methodKind === "client_streaming";
  return async (request, transport) => {
    const url = new URL(request.url);
    const format = readableFormat(request, url);
    // The framework refuses formats that we do not read, as each protocol requires.
    if (format === undefined) return handler(request);

    const abort = () => transport.abort();
    const address = () => transport.address();
    const prepare = async (): Promise<PreparedCall> => {
      try {
        const { caller: entering, throttle, openAccount } = transport.enter(method);
        // Whether it may call at all is decided before its body is read.
        const caller = await entering;
        if (!isRequestStream) {
          const message = await reader.one(request, url, format, openAccount);
          return { caller, message, abort, address };
        }
        if (isHttp1(request) || (format.protocol === "grpc-web" && !isOpen)) {
          throw bodyInvalid(
            `${method.name} is a bidirectional stream; it may be called over HTTP/2 with gRPC or Connect.`,
          );
        }
        const messages = reader.many(request, format, openAccount);
        return { caller, messages, reader, format, throttle, abort, address };
      } catch (refusal) {
        return { caller: NOBODY, refusal, abort, address };
      }
    };
    const contextValues = request.contextValues ?? createContextValues();
    contextValues.set(preparedCall, await prepare());
    const response = await handler({ ...emptied(request, url, format), contextValues });
    // A client of a stream would keep sending, so the refusal closes its connection.
    if (isRequestStream && isHttp1(request)) response.header?.set("connection", "close");
    return response;
  };
}

/** Whether the service reads a request, and counts its caller, before the framework sees it. */
export function isPrepared(request: UniversalServerRequest): boolean {
  return readableFormat(request, new URL(request.url)) !== undefined;
}

function readableFormat(request: UniversalServerRequest, url: URL): RequestFormat | undefined {
  const format = requestFormat(request.method, url, request.header);
  return format !== undefined && isReadable(format) ? format : undefined;
}

/** The request with an empty message in place of its own. */
function emptied(
  request: UniversalServerRequest,
  url: URL,
  format: RequestFormat,
): UniversalServerRequest {
  const header = new Headers(request.header);
  for (const name of [
    "content-length",
    "content-encoding",
    "grpc-encoding",
    "connect-content-encoding",
  ]) {
    header.delete(name);
  }
  if (format.framing === "query") {
    url.searchParams.set("message", format.json ? "{}" : "");
    url.searchParams.delete("base64");
    url.searchParams.delete("compression");
  }
  const message = Buffer.from(format.json ? "{}" : "");
  const prefix = Buffer.from([0, 0, 0, 0, message.byteLength]);
  const bytes = format.framing === "envelopes" ? Buffer.concat([prefix, message]) : message;
  // The framework would refuse streams over HTTP/1.1 with a bare status; our refusal says more.
  const httpVersion = "2.0";
  return { ...request, httpVersion, url: url.toString(), header, body: once(bytes) };
}

function isHttp1({ httpVersion }: UniversalServerRequest): boolean {
  return httpVersion.startsWith("1.");
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes;
}
