import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";

/** Headers of streaming responses for proxies: do not buffer (nginx), store or compress them. */
export const UNBUFFERED = {
  "x-accel-buffering": "no",
  "cache-control": "no-store, no-transform",
} as const;

const METHOD_NOT_ALLOWED = 405;
const UNSUPPORTED_MEDIA_TYPE = 415;

/** Adds the headers that the framework leaves out of a response. */
export function withResponseHeaders(
  response: UniversalServerResponse,
  { method, allowedMethods }: UniversalHandler,
): UniversalServerResponse {
  const { status } = response;
  const header = new Headers(response.header);
  if (status === METHOD_NOT_ALLOWED) header.set("allow", allowedMethods.join(", "));
  if (status === UNSUPPORTED_MEDIA_TYPE)
    header.set("accept-post", method.methodKind === "unary" ? UNARY_TYPES : STREAMING_TYPES);
  header.append("vary", "Origin, Accept-Encoding");
  if (method.methodKind === "unary") return { ...response, header };
  for (const [name, value] of Object.entries(UNBUFFERED)) header.set(name, value);
  return { ...response, header };
}

const GRPC_TYPES = [
  "grpc",
  "grpc+proto",
  "grpc+json",
  "grpc-web",
  "grpc-web+proto",
  "grpc-web+json",
];
const typeList = (types: readonly string[]) =>
  [...types, ...GRPC_TYPES, "grpc-web-text"].map((type) => `application/${type}`).join(", ");
const UNARY_TYPES = typeList(["json", "proto"]);
const STREAMING_TYPES = typeList(["connect+json", "connect+proto"]);
