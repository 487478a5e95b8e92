import type { DescMethod } from "@bufbuild/protobuf";
import { createContextKey, createContextValues } from "@connectrpc/connect";
import type {
  UniversalHandler,
  UniversalServerRequest,
  UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import type { AuthRequest } from "../../core/auth.ts";
import type { Throttle } from "../../limits/throttle.ts";
import type { OpenAccount } from "../../limits/untrusted-bodies.ts";
import { bodyInvalid } from "../envelope.ts";
import { type RequestFormat, requestFormat } from "./request-format.ts";
import { MAX_SMALL_REQUEST_BYTES, maxRequestBytes } from "../request-limits.ts";
import { type RequestReader, createRequestReader, isReadable } from "./request-reader.ts";
import type { BodyBudget } from "../../limits/body-budget.ts";

/** A call as an implementation finds it in its context: read, decoded and permitted, or refused. */
export interface PreparedCall {
  /** Why the call is refused before it starts. */
  readonly refusal?: unknown;
  /** The decoded message of a call that takes one. */
  readonly message?: unknown;
  /** The encoded messages of a call that takes many, and how to decode them. */
  readonly messages?: AsyncIterable<Uint8Array>;
  readonly reader?: RequestReader<unknown>;
  readonly format?: RequestFormat;
  /** Cuts the transport of this call, for a reader that takes nothing any more. */
  readonly abort: () => void;
  /** What `auth_function` learns of the caller. */
  readonly auth: () => AuthRequest;
  /** Slows down the messages of a call that takes many; undefined when no limit applies. */
  readonly throttle?: Throttle | undefined;
}

/** Where the prepared call is. */
export const preparedCall = createContextKey<PreparedCall>({
  abort: () => {},
  auth: () => ({ headers: {}, path: "", query_params: {}, addr: "", connection_id: "" }),
});

/** What the server knows of the transport of a call. */
export interface Transport {
  /**
   * Refuses callers that may not make the call, or are too fast, by throwing.
   *
   * @returns What slows down calls within the call; undefined when no limit applies.
   */
  readonly permit: (method: DescMethod) => Throttle | undefined;
  /** Opens the accounts that bodies are taken from; undefined for trusted callers, who take from the budget. */
  readonly untrustedBodies: () => OpenAccount | undefined;
  /** Cuts the connection or stream. */
  readonly abort: () => void;
  /** What `auth_function` learns of the caller. */
  readonly auth: () => AuthRequest;
}

/** Answers a call of one method. */
export type CallHandler = (
  request: UniversalServerRequest,
  transport: Transport,
) => Promise<UniversalServerResponse>;

/**
 * Puts our own request reading in front of a framework handler.
 *
 * The framework keeps what it is good at: framing and errors of three protocols, deadlines and
 * compression of answers. It is given an empty message; the true one, or the refusal, lies in the
 * context, where the implementation takes it (see routes).
 *
 * @param budget What is held of requests is taken from it.
 * @param isOpen Whether everybody may call, as health and reflection.
 */
export function prepareCalls(
  handler: UniversalHandler,
  budget: BodyBudget,
  isOpen = false,
): CallHandler {
  const { method } = handler;
  const reader = createRequestReader(method, budget) as RequestReader<unknown>;
  // Methods with large requests are for trusted callers only.
  const isSmall = maxRequestBytes(method) === MAX_SMALL_REQUEST_BYTES;
  const takesMany =
    method.methodKind === "bidi_streaming" || method.methodKind === "client_streaming";
  return async (request, { permit, untrustedBodies, ...transport }) => {
    const url = new URL(request.url);
    const format = readableFormat(request, url);
    // What is not a message of ours, the framework answers as its protocols say.
    if (format === undefined) return handler(request);

    const prepare = async (): Promise<PreparedCall> => {
      try {
        const throttle = permit(method);
        const account = isSmall ? untrustedBodies() : undefined;
        if (!takesMany) {
          return { message: await reader.one(request, url, format, account), ...transport };
        }
        if (isHttp1(request) || (format.protocol === "grpc-web" && !isOpen)) {
          throw bodyInvalid(
            `${method.name} streams both ways; it may be called over HTTP/2 with gRPC or Connect.`,
          );
        }
        const messages = reader.many(request, format, account);
        return { messages, reader, format, throttle, ...transport };
      } catch (refusal) {
        return { refusal, ...transport };
      }
    };
    const contextValues = request.contextValues ?? createContextValues();
    contextValues.set(preparedCall, await prepare());
    const response = await handler({ ...emptied(request, url, format), contextValues });
    // Who expects to be read while it writes would write on: its connection ends with the refusal.
    if (takesMany && isHttp1(request)) response.header?.set("connection", "close");
    return response;
  };
}

/** Whether the message of a request is read, and its caller counted, before the framework sees it. */
export function isPrepared(request: UniversalServerRequest): boolean {
  return readableFormat(request, new URL(request.url)) !== undefined;
}

function readableFormat(request: UniversalServerRequest, url: URL): RequestFormat | undefined {
  const format = requestFormat(request.method, url, request.header);
  return format !== undefined && isReadable(format) ? format : undefined;
}

/** The same request with an empty message in place of its own. */
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
  // The framework would answer streams over HTTP/1.1 with nothing but a status: the refusal says more.
  const httpVersion = "2.0";
  return { ...request, httpVersion, url: url.toString(), header, body: once(bytes) };
}

function isHttp1({ httpVersion }: UniversalServerRequest): boolean {
  return httpVersion.startsWith("1.");
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes;
}
