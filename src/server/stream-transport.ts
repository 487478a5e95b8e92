import {
  type IncomingHttpHeaders,
  type Http2Session,
  type ServerHttp2Stream,
  constants,
} from "node:http2";
import type { DescMethod } from "@bufbuild/protobuf";
import type { AuthRequest } from "../core/auth.ts";
import type { Connected } from "../core/connection.ts";
import type { CallTransport, EnteredCall } from "../rpc/call-transport.ts";
import { authRequestOf } from "./auth-request.ts";
import { factsFrom } from "./caller-facts.ts";
import { connectionIds, forwardedForOf } from "./connections.ts";
import type { Connection, Permits } from "./permits.ts";

/**
 * The transport of a call on an HTTP/2 stream that the fast path serves. A class: every call has
 * one, and closures would have to be created for each.
 */
export class StreamTransport implements CallTransport, Connection {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #permits: Permits;
  readonly identity: Http2Session | undefined;
  readonly peer: string | undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, permits: Permits) {
    this.#stream = stream;
    this.#headers = headers;
    this.#permits = permits;
    this.identity = stream.session;
    this.peer = this.identity && peerOf(this.identity);
  }

  get forwardedFor(): string | undefined {
    return forwardedForOf(this.#headers);
  }

  connected(): Connected {
    return connectionIds(this.identity ?? this.#stream);
  }

  auth(): AuthRequest {
    const path = this.#headers[":path"] ?? "";
    const socket = this.#stream.session?.socket;
    return authRequestOf(this.#headers, path, socket, () => this.connected());
  }

  enter(method: DescMethod): EnteredCall {
    return this.#permits.enter(method, factsFrom(this.#headers, this.peer), this);
  }

  address(): string {
    return this.#permits.addressOf(this);
  }

  abort(): void {
    this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }
}

/** Addresses of the peers of connections: Node asks a proxy of the socket for each. */
const peers = new WeakMap<Http2Session, string | undefined>();

function peerOf(session: Http2Session): string | undefined {
  let peer = peers.get(session);
  if (peer === undefined) {
    peer = session.socket.remoteAddress;
    peers.set(session, peer);
  }
  return peer;
}
