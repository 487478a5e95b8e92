import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { bodyInvalid } from "../envelope.ts";

/** The content type of gRPC-Web in base64, which browsers use for streams over XMLHttpRequest. */
const TEXT_TYPE = /^application\/grpc-web-text(?:\+proto)?\s*(?:;.*)?$/i;
/** The content type of the same messages in binary. */
const BINARY_TYPE = "application/grpc-web+proto";
const NOT_BASE64 = /[^A-Za-z0-9+/=]/;
const GROUP = 4;
/** Runs of base64, each with its padding. */
const PARTS = /[^=]+={0,2}/g;

/** Whether a request carries its messages in base64. */
export function isGrpcWebText(contentType: string | null): boolean {
  return contentType !== null && TEXT_TYPE.test(contentType);
}

/** The request with its messages decoded to binary. */
export function fromGrpcWebText(request: UniversalServerRequest): UniversalServerRequest {
  const header = new Headers(request.header);
  header.set("content-type", BINARY_TYPE);
  const { body } = request;
  const isStream = typeof body === "object" && body !== null && Symbol.asyncIterator in body;
  return { ...request, header, body: isStream ? decodeBase64(body) : body };
}

/**
 * The response with its messages and trailers in base64. Each chunk is padded, so that none waits.
 */
export function toGrpcWebText(response: UniversalServerResponse): UniversalServerResponse {
  const header = new Headers(response.header);
  if (header.get("content-type") !== BINARY_TYPE) return response;
  header.set("content-type", "application/grpc-web-text+proto");
  header.delete("content-length");
  const { body } = response;
  return body === undefined
    ? { ...response, header }
    : { ...response, header, body: encodeBase64(body) };
}

async function* encodeBase64(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  for await (const bytes of body)
    yield Buffer.from(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64"),
    );
}

/** Decodes base64 that arrives in chunks of any size and may have padding in the middle. */
async function* decodeBase64(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let rest = "";
  for await (const bytes of body) {
    const text = rest + Buffer.from(bytes).toString("latin1");
    if (NOT_BASE64.test(text)) throw notBase64();
    const end = text.length - (text.length % GROUP);
    rest = text.slice(end);
    for (const [part] of text.slice(0, end).matchAll(PARTS)) yield Buffer.from(part, "base64");
  }
  if (rest !== "") throw notBase64();
}

function notBase64() {
  return bodyInvalid("The request is not base64; with application/grpc-web-text it may be base64.");
}
