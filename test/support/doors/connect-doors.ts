import { Agent } from "node:http";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import {
  Http2SessionManager,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { AsyncQueue } from "./async-queue.ts";
import { type Door, DoorError, type DoorTarget } from "./door.ts";
import { type StreamingCall, type Stub, rpcClient } from "./rpc-client.ts";

interface H1Options {
  readonly baseUrl: string;
  readonly httpVersion: "1.1";
  readonly nodeOptions: { readonly agent: Agent };
}

interface H2Options {
  readonly baseUrl: string;
  readonly httpVersion: "2";
  readonly sessionManager: Http2SessionManager;
}

/** A door with a client of @connectrpc/connect-node. */
export interface ConnectDoor extends Door {
  /** A client for any service. The caller closes it. */
  stub(target: DoorTarget): Stub;
}

/** The doors with clients of @connectrpc/connect-node. */
export const connectDoors: readonly ConnectDoor[] = [
  h1Door("connect-h1-json", createConnectTransport),
  h1Door("connect-h1-binary", (options) =>
    createConnectTransport({ ...options, useBinaryFormat: true }),
  ),
  h2Door("connect-h2-json", createConnectTransport),
  h2Door("connect-h2-binary", (options) =>
    createConnectTransport({ ...options, useBinaryFormat: true }),
  ),
  h2Door("grpc", createGrpcTransport),
  h1Door("grpc-web", createGrpcWebTransport),
];

/** A door over HTTP/1.1. */
export function h1Door(
  name: string,
  createTransport: (options: H1Options) => Transport,
): ConnectDoor {
  return connectDoor(name, "refused", ({ url, authorization }) =>
    h1Stub(url, createTransport, authorization),
  );
}

/** A door over HTTP/2. */
export function h2Door(
  name: string,
  createTransport: (options: H2Options) => Transport,
): ConnectDoor {
  return connectDoor(name, "yes", ({ url, authorization }) =>
    h2Stub(url, createTransport, authorization),
  );
}

function connectDoor(
  name: string,
  write: Door["can"]["write"],
  stub: ConnectDoor["stub"],
): ConnectDoor {
  const can = { deadlines: true, write, details: true };
  return { name, can, stub, client: (target) => rpcClient(stub(target)) };
}

/** A protobuf client over HTTP/1.1, with separate connections. */
export function h1Stub(
  url: string,
  createTransport: (options: H1Options) => Transport,
  authorization?: string,
): Stub {
  const agent = new Agent({ keepAlive: true });
  const options = { baseUrl: url, httpVersion: "1.1", nodeOptions: { agent } } as const;
  return transportStub(createTransport(options), authorization, () => agent.destroy());
}

/** A protobuf client over HTTP/2, with a separate connection. */
export function h2Stub(
  url: string,
  createTransport: (options: H2Options) => Transport,
  authorization?: string,
): Stub {
  const sessionManager = new Http2SessionManager(url);
  const options = { baseUrl: url, httpVersion: "2", sessionManager } as const;
  return transportStub(createTransport(options), authorization, () => sessionManager.abort());
}

function transportStub(
  transport: Transport,
  authorization: string | undefined,
  close: () => void,
): Stub {
  const headers = authorization === undefined ? undefined : { authorization };
  return {
    async unary(method, request, options) {
      const { timeoutMs } = options ?? {};
      const response = await transport.unary(method, undefined, timeoutMs, headers, request);
      return response.message;
    },
    serverStream(method, request, options) {
      const requests = new AsyncQueue<typeof request>();
      requests.push(request);
      requests.end();
      return streaming((signal) =>
        transport.stream(method, signal, options?.timeoutMs, headers, requests),
      );
    },
    bidiStream(method, requests, options) {
      return streaming((signal) =>
        transport.stream(method, signal, options?.timeoutMs, headers, requests),
      );
    },
    toError: connectDoorError,
    async close() {
      close();
    },
  };
}

function streaming<M>(
  open: (signal: AbortSignal) => Promise<{ readonly message: AsyncIterable<M> }>,
): StreamingCall<M> {
  const controller = new AbortController();
  const opened = open(controller.signal);
  opened.catch(() => {});
  return {
    responses: (async function* () {
      yield* (await opened).message;
    })(),
    cancel: () => controller.abort(),
  };
}

/** Converts an error of @connectrpc/connect. */
function connectDoorError(error: unknown): DoorError {
  const failure = ConnectError.from(error);
  const details = failure.findDetails(ErrorInfoSchema);
  const info = details.find(({ domain }) => domain === "millrace");
  return new DoorError(codeName(Code[failure.code]), failure.rawMessage, info, error);
}

/** Converts `DeadlineExceeded` to `deadline_exceeded`. */
export function codeName(name: string): string {
  return name.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}
