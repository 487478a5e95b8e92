import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { RawRequest } from "../../support/doors/raw-http.ts";
import { type RawProtocol, envelope, pathOf } from "../../support/doors/raw-protocol.ts";
import { joined, part, utf8 } from "../../wire/request/raw-wire.ts";
import { GROUP, KEY, type Row, binary } from "./row.ts";

const MAX_BYTES = 4 * 1024 * 1024;
/** The limit of requests without values. */
const MAX_SMALL_BYTES = 16 * 1024;
const invalid = { method: "set", reason: "REQUEST_INVALID" } as const;
const tooLarge = (max: number) => ({
  ...invalid,
  says: new RegExp(`more than ${max} bytes; it may have up to ${max}`),
});

/** A call that the protocol can carry. */
const methodOf = (protocol: RawProtocol) => (protocol.can("set") ? "set" : "subscribe");
/** A valid message in the protocol's encoding; only its framing will be bad. */
const good = ({ json, can }: RawProtocol) => {
  if (!can("set")) return json ? utf8(JSON.stringify(GROUP)) : joined(part(1, "s"), part(2, "g"));
  return json ? utf8(JSON.stringify({ ...KEY, data: 2 })) : binary(part(4, part(3, "x")));
};
const sizedMessages = new Map<string, Uint8Array>();
/** A message of `bytes` bytes. Made once: it is large, and many requests have it. */
const sized = ({ json }: RawProtocol, bytes: number) => {
  const key = `${json} ${bytes}`;
  const made =
    sizedMessages.get(key) ??
    (json ? utf8(`{"streamName":"${"x".repeat(bytes - 17)}"}`) : textField(bytes));
  sizedMessages.set(key, made);
  return made;
};
/** A message of `bytes` bytes whose first field is text: a tag, a length and the text. */
function textField(bytes: number): Uint8Array {
  const longest = part(1, "x".repeat(bytes - 2));
  return part(1, "x".repeat(bytes - 2 - (longest.byteLength - bytes)));
}

const body = (protocol: RawProtocol, bytes: Uint8Array): RawRequest => ({
  ...protocol.request(methodOf(protocol), new Uint8Array()),
  body: bytes,
});
/** A request with a bad envelope, on protocols that use envelopes. */
const enveloped =
  (wrap: (message: Uint8Array) => Uint8Array) =>
  (protocol: RawProtocol): RawRequest | undefined =>
    protocol.framing === "envelopes" ? body(protocol, wrap(goodCall(protocol))) : undefined;
/** The message bytes of a valid call. */
const goodCall = (protocol: RawProtocol) =>
  (protocol.request(methodOf(protocol), good(protocol)).body ?? new Uint8Array()).subarray(5);

const compressed =
  (name: string, compress: (message: Uint8Array) => Uint8Array, content = good) =>
  (protocol: RawProtocol): RawRequest | undefined => {
    if (protocol.framing === "query") return undefined;
    const request = protocol.request(methodOf(protocol), new Uint8Array());
    const bytes = compress(content(protocol));
    return {
      ...request,
      headers: { ...request.headers, [protocol.compressionHeader]: name },
      body: protocol.framing === "envelopes" ? envelope(bytes, 1) : bytes,
    };
  };

const ZEROS = Buffer.alloc(100 * 1024 * 1024);
// The highest quality makes no smaller bomb of zeros, and takes 30 times as long.
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } };
const BOMBS = { gzip: gzipSync(ZEROS, { level: 1 }), br: brotliCompressSync(ZEROS, BROTLI) };

type Request = NonNullable<Row["request"]>;

/** Rows about the size of requests with values, or without. */
function sizesOf(carriesValues: boolean): readonly Row[] {
  const max = carriesValues ? MAX_BYTES : MAX_SMALL_BYTES;
  const limit = carriesValues ? "4 MiB" : "16 KiB";
  const only =
    (request: Request): Request =>
    (protocol) =>
      protocol.framing !== "query" && protocol.can("set") === carriesValues
        ? request(protocol)
        : undefined;
  const message = (bytes: number) =>
    only((protocol) => protocol.request(methodOf(protocol), sized(protocol, bytes)));
  return [
    { title: `a message of ${limit} and a byte`, ...tooLarge(max), request: message(max + 1) },
    { title: `a message of three times ${limit}`, ...tooLarge(max), request: message(3 * max) },
    {
      title: `a length over ${limit}`,
      ...tooLarge(max),
      request: only(enveloped(() => Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff))),
    },
    {
      title: `100 MiB of zeros in gzip, over a limit of ${limit}`,
      ...tooLarge(max),
      request: only(compressed("gzip", () => BOMBS.gzip)),
    },
    {
      title: `100 MiB of zeros in brotli, over a limit of ${limit}`,
      ...tooLarge(max),
      // It exceeds the compression ratio limit before it reaches the larger size limit.
      ...(carriesValues && { says: /expands more than 1100 times when decompressed/ }),
      request: only(compressed("br", () => BOMBS.br)),
    },
    {
      title: `a message of exactly ${limit}, read in full, with invalid content`,
      method: "set",
      reason: "NAME_INVALID",
      field: "stream_name",
      request: only((protocol) =>
        protocol.name.startsWith("a write")
          ? undefined
          : protocol.request(methodOf(protocol), sized(protocol, max)),
      ),
    },
  ];
}

const BODIES: readonly Row[] = [
  {
    title: "a message cut short in its middle",
    ...invalid,
    request: enveloped((message) => envelope(message).subarray(0, -3)),
    says: /cut short/,
  },
  {
    title: "a message cut short in its length",
    ...invalid,
    request: enveloped(() => Uint8Array.of(0, 0, 0)),
    says: /cut short/,
  },
  {
    title: "unknown flags",
    ...invalid,
    request: enveloped((message) => envelope(message, 8)),
    says: /flags/,
  },
  {
    title: "a compressed message without a named compression",
    ...invalid,
    request: enveloped((message) => envelope(message, 1)),
    says: /names no compression/,
  },
  {
    title: "data that is not gzip",
    ...invalid,
    request: compressed("gzip", (message) => message),
    says: /not valid gzip/,
  },
  {
    title: "gzip that is cut short",
    ...invalid,
    request: compressed("gzip", (message) => gzipSync(message).subarray(0, -6)),
    says: /not valid gzip/,
  },
  {
    title: "data that is not brotli",
    ...invalid,
    request: compressed("br", () => utf8("this is no brotli")),
    says: /not valid br/,
  },
  ...sizesOf(true),
  ...sizesOf(false),
  {
    title: "100 MiB of zeros in the URL",
    ...tooLarge(MAX_SMALL_BYTES),
    method: "get",
    request: (protocol) =>
      protocol.framing === "query" ? query(protocol, BOMBS.br, "&compression=br") : undefined,
  },
];

const COUNTS: readonly Row[] = [
  {
    title: "no message",
    ...invalid,
    request: unlessWrite(() => new Uint8Array()),
    says: /no message/,
  },
  {
    title: "two messages",
    ...invalid,
    request: unlessWrite((message) => Buffer.concat([envelope(message), envelope(message)])),
    says: /more than one message/,
  },
  {
    title: "an empty body",
    ...invalid,
    request: (protocol) =>
      protocol.framing === "body" && protocol.json ? body(protocol, new Uint8Array()) : undefined,
    says: /JSON/,
  },
];

/** Requests that the protocol layers refuse. */
const PROTOCOL: readonly Row[] = [
  {
    title: "an unknown compression",
    method: "set",
    code: "unimplemented",
    reason: undefined,
    request: compressed("snappy", (message) => message),
    says: /snappy.*gzip/,
  },
  {
    title: "an unknown method",
    method: "set",
    code: "unimplemented",
    reason: undefined,
    status: 404,
    request: (protocol) => ({
      ...protocol.request(methodOf(protocol), good(protocol)),
      path: pathOf("Destroy"),
    }),
  },
  {
    title: "an unknown service",
    method: "set",
    code: "unimplemented",
    reason: undefined,
    status: 404,
    request: (protocol) => ({
      ...protocol.request(methodOf(protocol), good(protocol)),
      path: "/other.v1.StreamService/Set",
    }),
  },
  {
    title: "an unrelated content type",
    method: "set",
    code: "unknown",
    reason: undefined,
    status: 415,
    request: (protocol) =>
      protocol.framing === "query"
        ? undefined
        : withType(protocol.request(methodOf(protocol), good(protocol)), "text/plain"),
  },
  {
    title: "a streaming content type for a unary call",
    method: "set",
    code: "unknown",
    reason: undefined,
    status: 415,
    request: (protocol) =>
      protocol.framing === "body"
        ? withType(
            protocol.request(methodOf(protocol), envelope(good(protocol))),
            "application/connect+json",
          )
        : undefined,
  },
  {
    title: "no content type",
    method: "set",
    code: "unknown",
    reason: undefined,
    status: 415,
    request: (protocol) =>
      protocol.framing === "query"
        ? undefined
        : { ...protocol.request(methodOf(protocol), good(protocol)), headers: {} },
  },
  {
    title: "GET for a write",
    method: "set",
    code: "unknown",
    reason: undefined,
    status: 405,
    request: (protocol) =>
      protocol.framing === "query"
        ? {
            ...query(protocol, good(protocol)),
            path: query(protocol, good(protocol)).path.replace("/Get?", "/Set?"),
          }
        : undefined,
  },
  {
    title: "PUT",
    method: "set",
    code: "unknown",
    reason: undefined,
    status: 405,
    request: (protocol) =>
      protocol.framing === "query"
        ? undefined
        : { ...protocol.request(methodOf(protocol), good(protocol)), method: "PUT" },
  },
  {
    title: "GET without an encoding",
    method: "get",
    code: "unknown",
    reason: undefined,
    status: 415,
    request: (protocol) =>
      protocol.framing === "query"
        ? { ...query(protocol, good(protocol)), path: `${pathOf("get")}?message=%7B%7D` }
        : undefined,
  },
  {
    title: "GET with a message that is not base64",
    method: "get",
    reason: "REQUEST_INVALID",
    field: "message",
    request: (protocol) =>
      protocol.framing === "query"
        ? {
            ...query(protocol, good(protocol)),
            path: `${pathOf("get")}?encoding=${protocol.json ? "json" : "proto"}&base64=1&message=%7B%7D`,
          }
        : undefined,
  },
];

/** Bad framing. */
export const FRAMING: readonly Row[] = [...BODIES, ...COUNTS, ...PROTOCOL];

function unlessWrite(wrap: (message: Uint8Array) => Uint8Array) {
  return (protocol: RawProtocol) =>
    protocol.name.startsWith("a write") ? undefined : enveloped(wrap)(protocol);
}

function withType(request: RawRequest, type: string): RawRequest {
  return { ...request, headers: { ...request.headers, "content-type": type } };
}

function query(protocol: RawProtocol, message: Uint8Array, more = ""): RawRequest {
  const request = protocol.request("get", message);
  return { ...request, path: `${request.path}${more}` };
}
