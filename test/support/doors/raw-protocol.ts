import { fromBinary, fromJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { AnySchema, anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { type ErrorInfo, ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { WriteResponseSchema } from "millrace/v1";
import { part, utf8, varint } from "../../wire/request/raw-wire.ts";
import { codeName } from "./connect-doors.ts";
import type { RawResponse, RawRequest } from "./raw-http.ts";

/** Methods by name in the library's spelling. */
export type Method =
  | "set"
  | "get"
  | "update"
  | "delete"
  | "batch"
  | "send"
  | "list"
  | "history"
  | "listGroups"
  | "listAll"
  | "subscribe";

/** A refusal, as received by the caller. */
export interface Refusal {
  readonly status: number;
  /** Connect's name of the code. */
  readonly code: string;
  /** Of the ErrorInfo of domain `millrace`, if there is one. */
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly message: string;
}

/** One protocol in one encoding, in bytes. */
export interface RawProtocol {
  readonly name: string;
  readonly json: boolean;
  readonly httpVersion: "1.1" | "2";
  /** The transport of messages. */
  readonly framing: "body" | "envelopes" | "query";
  readonly contentType: string;
  readonly compressionHeader: string;
  can(method: Method): boolean;
  /** A request with one encoded message. */
  request(method: Method, message: Uint8Array): RawRequest;
  /** The refusal; undefined: accepted. */
  refusal(response: RawResponse): Refusal | undefined;
}

const READS: readonly Method[] = ["get", "list", "history", "listGroups", "listAll"];
const WRITES: Partial<Record<Method, number>> = { set: 3, update: 4, delete: 5, send: 6, batch: 7 };

const SERVICE = "/millrace.v1.StreamService/";

/** Path of a method. */
export function pathOf(method: string): string {
  return `${SERVICE}${method[0]?.toUpperCase()}${method.slice(1)}`;
}

/** One length-prefixed message. */
export function envelope(message: Uint8Array, flags = 0): Uint8Array {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([prefix, message]);
}

/** Every protocol of the service, in every encoding. */
export const RAW_PROTOCOLS: readonly RawProtocol[] = (["1.1", "2"] as const).flatMap(
  (httpVersion) =>
    [true, false].flatMap((json) => [
      connectUnary(httpVersion, json),
      connectGet(httpVersion, json),
      connectStream(httpVersion, json),
      grpc("grpc-web", httpVersion, json),
      ...(httpVersion === "2"
        ? [
            grpc("grpc", httpVersion, json),
            write(connectStream(httpVersion, json)),
            write(grpc("grpc", httpVersion, json)),
          ]
        : []),
    ]),
);

function encoding(json: boolean) {
  return json ? "json" : "proto";
}

function connectUnary(httpVersion: "1.1" | "2", json: boolean): RawProtocol {
  const contentType = `application/${encoding(json)}`;
  return {
    name: `connect ${encoding(json)} over HTTP/${httpVersion}`,
    json,
    httpVersion,
    framing: "body",
    contentType,
    compressionHeader: "content-encoding",
    can: (method) => method !== "subscribe",
    request: (method, body) => ({
      path: pathOf(method),
      headers: { "content-type": contentType },
      body,
    }),
    refusal: connectRefusal,
  };
}

function connectGet(httpVersion: "1.1" | "2", json: boolean): RawProtocol {
  return {
    ...connectUnary(httpVersion, json),
    name: `connect GET ${encoding(json)} over HTTP/${httpVersion}`,
    framing: "query",
    can: (method) => READS.includes(method),
    request(method, message) {
      const base64 = Buffer.from(message).toString("base64url");
      const query = `connect=v1&encoding=${encoding(json)}&base64=1&message=${base64}`;
      return { method: "GET", path: `${pathOf(method)}?${query}` };
    },
  };
}

function connectStream(httpVersion: "1.1" | "2", json: boolean): RawProtocol {
  const contentType = `application/connect+${encoding(json)}`;
  return {
    name: `connect stream ${encoding(json)} over HTTP/${httpVersion}`,
    json,
    httpVersion,
    framing: "envelopes",
    contentType,
    compressionHeader: "connect-content-encoding",
    can: (method) => method === "subscribe",
    request: (method, message) => ({
      path: pathOf(method),
      headers: { "content-type": contentType },
      body: envelope(message),
    }),
    refusal(response) {
      if (response.status !== 200) return connectRefusal(response);
      const end = envelopes(response.body).find(({ flags }) => (flags & 2) !== 0);
      if (end === undefined) throw new Error("the stream has no end");
      const { error } = JSON.parse(end.data.toString()) as { error?: JsonObject };
      return error === undefined ? undefined : connectErrorOf(response.status, error);
    },
  };
}

function grpc(protocol: "grpc" | "grpc-web", httpVersion: "1.1" | "2", json: boolean): RawProtocol {
  const contentType = `application/${protocol}+${encoding(json)}`;
  return {
    name: `${protocol} ${encoding(json)} over HTTP/${httpVersion}`,
    json,
    httpVersion,
    framing: "envelopes",
    contentType,
    compressionHeader: "grpc-encoding",
    can: () => true,
    request: (method, message) => ({
      path: pathOf(method),
      headers: { "content-type": contentType, te: "trailers" },
      body: envelope(message),
    }),
    refusal: (response) => grpcRefusal(response, trailersOf(response, protocol)),
  };
}

/** The write stream of a protocol. */
function write(stream: RawProtocol): RawProtocol {
  return {
    ...stream,
    name: `a write over ${stream.name}`,
    can: (method) => WRITES[method] !== undefined,
    request(method, message) {
      const call = stream.json
        ? Buffer.concat([utf8(`{"requestId":"7","${method}":`), message, utf8("}")])
        : Buffer.concat([varint(1, 7), part(WRITES[method] ?? 0, message)]);
      return stream.request("write" as Method, call);
    },
    refusal(response) {
      const failed = stream.refusal(response);
      if (failed !== undefined) return failed;
      const [first] = envelopes(response.body);
      if (first === undefined) throw new Error("a request has no response");
      const message = stream.json
        ? fromJson(WriteResponseSchema, JSON.parse(first.data.toString()) as JsonValue)
        : fromBinary(WriteResponseSchema, first.data);
      if (message.requestId !== 7n) throw new Error("a response has another id than its request");
      const { result } = message;
      return result.case === "error" ? { status: 200, ...result.value } : undefined;
    },
  };
}

function connectRefusal(response: RawResponse): Refusal | undefined {
  const { status, body } = response;
  if (status === 200) return undefined;
  const isJson = response.headers["content-type"] === "application/json";
  if (!isJson) {
    const code = status === 404 ? "unimplemented" : "unknown";
    return { status, code, reason: undefined, metadata: {}, message: body.toString() };
  }
  return connectErrorOf(status, JSON.parse(body.toString()) as JsonObject);
}

function connectErrorOf(status: number, error: JsonObject): Refusal {
  const details = (error["details"] ?? []) as { type: string; value: string }[];
  const infos = details
    .filter(({ type }) => type === ErrorInfoSchema.typeName)
    .map(({ value }) => fromBinary(ErrorInfoSchema, Buffer.from(value, "base64")));
  const { code, message = "" } = error as { code: string; message?: string };
  return { status, code, message, ...infoOf(infos) };
}

function grpcRefusal(
  { status }: RawResponse,
  trailers: Readonly<Record<string, unknown>>,
): Refusal | undefined {
  const code = trailers["grpc-status"];
  if (code === "0") return undefined;
  if (typeof code !== "string") {
    const name = status === 404 ? "unimplemented" : "unknown";
    return { status, code: name, reason: undefined, metadata: {}, message: "" };
  }
  const message = decodeURIComponent((trailers["grpc-message"] ?? "") as string);
  const details = trailers["grpc-status-details-bin"];
  const infos = typeof details === "string" ? statusInfos(Buffer.from(details, "base64")) : [];
  return { status, code: codeName(Code[Number(code)] ?? code), message, ...infoOf(infos) };
}

function trailersOf(
  { headers, trailers, body }: RawResponse,
  protocol: "grpc" | "grpc-web",
): Readonly<Record<string, unknown>> {
  if (headers["grpc-status"] !== undefined) return headers;
  if (protocol === "grpc") return trailers;
  const last = envelopes(body).find(({ flags }) => (flags & 0x80) !== 0);
  const lines = last?.data.toString().split("\r\n") ?? [];
  return Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
}

function infoOf(infos: readonly ErrorInfo[]) {
  const info = infos.find(({ domain }) => domain === "millrace");
  return { reason: info?.reason, metadata: { ...info?.metadata } };
}

/** The ErrorInfos in an encoded google.rpc.Status. */
export function statusInfos(encoded: Uint8Array): ErrorInfo[] {
  const infos: ErrorInfo[] = [];
  const reader = new BinaryReader(encoded);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    // repeated google.protobuf.Any details = 3
    if (field === 3 && wireType === WireType.LengthDelimited) {
      const info = anyUnpack(fromBinary(AnySchema, reader.bytes()), ErrorInfoSchema);
      if (info !== undefined) infos.push(info);
    } else reader.skip(wireType, field);
  }
  return infos;
}

/** Splits a body into its length-prefixed messages. */
export function envelopes(body: Buffer): { flags: number; data: Buffer }[] {
  const found: { flags: number; data: Buffer }[] = [];
  for (let at = 0; at < body.byteLength;) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    found.push({ flags: body.readUInt8(at), data: body.subarray(at + 5, end) });
    at = end;
  }
  return found;
}
