/** How a request is framed and encoded, according to its method, URL and headers. */
export interface RequestFormat {
  /**
   * `body`: the body is the message. `envelopes`: messages have a prefix. `query`: the message is
   * in the URL.
   */
  readonly framing: "body" | "envelopes" | "query";
  readonly protocol: "connect" | "grpc" | "grpc-web";
  readonly json: boolean;
  /** Name of the compression of messages; undefined when they are not compressed. */
  readonly compression: string | undefined;
}

const UNARY = /^application\/(json|proto)$/;
const STREAM = /^application\/connect\+(json|proto)$/;
const GRPC = /^application\/grpc(-web)?(?:\+(json|proto))?$/;

/** Reads the format of a request; undefined when the service has no such format. */
export function requestFormat(
  method: string,
  url: URL,
  header: Headers,
): RequestFormat | undefined {
  if (method === "GET") {
    const encoding = url.searchParams.get("encoding");
    if (encoding !== "json" && encoding !== "proto") return undefined;
    const compression = unlessIdentity(url.searchParams.get("compression"));
    return { framing: "query", protocol: "connect", json: encoding === "json", compression };
  }
  const type = header.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const unary = UNARY.exec(type);
  if (unary !== null) {
    const compression = unlessIdentity(header.get("content-encoding"));
    return { framing: "body", protocol: "connect", json: unary[1] === "json", compression };
  }
  const stream = STREAM.exec(type);
  if (stream !== null) {
    const compression = unlessIdentity(header.get("connect-content-encoding"));
    return { framing: "envelopes", protocol: "connect", json: stream[1] === "json", compression };
  }
  const grpc = GRPC.exec(type);
  if (grpc === null) return undefined;
  const compression = unlessIdentity(header.get("grpc-encoding"));
  const protocol = grpc[1] === undefined ? "grpc" : "grpc-web";
  return { framing: "envelopes", protocol, json: grpc[2] === "json", compression };
}

function unlessIdentity(compression: string | null): string | undefined {
  return compression === null || compression === "" || compression === "identity"
    ? undefined
    : compression;
}
