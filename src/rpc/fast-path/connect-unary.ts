import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { compressionNegotiate } from "@connectrpc/connect/protocol";
import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import { StreamService } from "../../../gen/millrace/v1/stream_service_pb.ts";
import { toConnectError } from "../connect-error.ts";
import type { CallTransport } from "../call-transport.ts";
import { PREFIX_BYTES } from "../envelope.ts";
import { maxRequestBytes } from "../request-limits.ts";
import type { Caller } from "../../rights/caller.ts";
import { UnaryCall } from "./unary-call.ts";
import type { UnaryMethod } from "../unary-methods.ts";
import { connectTimeoutMs } from "../deadline.ts";
import { BodyBudget } from "../../limits/body-budget.ts";

const JSON_TYPE = "application/json";
const PROTO_TYPE = "application/proto";
/**
 * Smallest body that is compressed if the client accepts it, in bytes; the framework uses the same.
 */
const COMPRESS_MIN_BYTES = 1024;
const COMPRESSIONS = [compressionGzip, compressionBrotli];
/** Hosts that are certainly valid. The framework judges all others. */
const PLAIN_HOST = /^(?:[\w.-]+|\[[\da-f:]+\])(?::\d{1,5})?$/i;

/** A request over HTTP/2 or HTTP/1.1, and the means to respond to it. */
export interface ConnectExchange {
  readonly method: string | undefined;
  readonly path: string;
  readonly host: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
  /** Calls back when the caller disconnects or the response has been sent. */
  onClose(callback: () => void): void;
  /** Sends the whole response. Does nothing if the caller has disconnected. */
  respond(status: number, headers: Record<string, string | number>, body: Uint8Array): void;
}

/**
 * Handles a request if the fast path can take it.
 *
 * @param transport Returns the transport of the call; called only when the request is taken.
 * @returns false when the framework has to handle the request.
 */
export type ConnectFastPath = (
  exchange: ConnectExchange,
  transport: () => CallTransport,
) => boolean;

/**
 * The fast path of unary Connect calls: from the request to the handlers and back, without the
 * framework.
 *
 * It takes plain POST requests only. Others (a GET, a compressed request, an `Origin` header) take
 * the framework path, with the same responses: both use the same handlers, decoders and errors.
 *
 * @param budget Limits the request bytes in memory.
 */
export function createConnectFastPath(
  unaryMethods: readonly UnaryMethod[],
  budget: BodyBudget = new BodyBudget(),
): ConnectFastPath {
  const methods = new Map(
    unaryMethods.map((each) => [`/${StreamService.typeName}/${each.of.name}`, each]),
  );
  return (exchange, transport) => {
    const method = methods.get(exchange.path);
    if (method === undefined || !isPlain(exchange)) return false;
    exchange.body.on("error", ignore);
    const timeout = exchange.headers["connect-timeout-ms"];
    const timeoutMs = timeout === undefined ? undefined : connectTimeoutMs(String(timeout));
    new ConnectCall(exchange, method, budget).begin(method.of, transport(), timeoutMs);
    return true;
  };
}

function isPlain({ method, host = "", headers }: ConnectExchange): boolean {
  const type = headers["content-type"];
  const encoding = headers["content-encoding"];
  const timeout = headers["connect-timeout-ms"];
  return (
    method === "POST" &&
    (type === JSON_TYPE || type === PROTO_TYPE) &&
    (encoding === undefined || encoding === "identity") &&
    (timeout === undefined || connectTimeoutMs(String(timeout)) !== undefined) &&
    headers.origin === undefined &&
    PLAIN_HOST.test(host)
  );
}

const ignore = () => {};

class ConnectCall extends UnaryCall<Uint8Array> {
  readonly #exchange: ConnectExchange;
  readonly #method: UnaryMethod;

  constructor(exchange: ConnectExchange, method: UnaryMethod, budget: BodyBudget) {
    super(exchange.body, maxRequestBytes(method.of), 0, budget);
    this.#exchange = exchange;
    this.#method = method;
    exchange.onClose(() => this.leave());
  }

  protected isTooLarge(): boolean {
    return Number(this.#exchange.headers["content-length"] ?? 0) > maxRequestBytes(this.#method.of);
  }

  protected async run(body: Buffer, caller: Caller): Promise<Uint8Array> {
    if (this.#exchange.headers["content-type"] === JSON_TYPE)
      return Buffer.from(await this.#method.json(body, caller));
    return (await this.#method.binary(body, caller)).subarray(PREFIX_BYTES);
  }

  protected send(response: Uint8Array | undefined, failure: unknown): void {
    if (response !== undefined) {
      this.#respond(200, String(this.#exchange.headers["content-type"]), response);
      return;
    }
    const error = toConnectError(failure);
    const body = errorToJsonBytes(error, undefined);
    this.#respond(codeToHttpStatus(error.code), JSON_TYPE, body, error.metadata);
  }

  #respond(status: number, type: string, body: Uint8Array, more?: Headers): void {
    const exchange = this.#exchange;
    const accepted = exchange.headers["accept-encoding"];
    const compression =
      accepted === undefined || body.byteLength < COMPRESS_MIN_BYTES
        ? undefined
        : compressionNegotiate(COMPRESSIONS, null, accepted, "").response;
    const headers = {
      ...(more && Object.fromEntries(more)),
      "content-type": type,
      ...(body.byteLength >= COMPRESS_MIN_BYTES && { vary: "Origin, Accept-Encoding" }),
    };
    if (compression === undefined || compression === null) {
      exchange.respond(status, { ...headers, "content-length": body.byteLength }, body);
      return;
    }
    void compression.compress(body).then((compressed) => {
      const length = compressed.byteLength;
      const encoding = { "content-encoding": compression.name, "content-length": length };
      exchange.respond(status, { ...headers, ...encoding }, compressed);
    });
  }
}
