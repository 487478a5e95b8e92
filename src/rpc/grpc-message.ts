import type { UniversalServerResponse } from "@connectrpc/connect/protocol";

const NAME = "grpc-message";

/**
 * The response with its `grpc-message` trailer percent-encoded as gRPC specifies: only `%` and
 * characters outside printable ASCII. The framework also encodes punctuation, which some clients
 * (grpc-js, for example) do not decode.
 *
 * The trailer is rewritten when it is read: it is complete only after the body.
 */
export function withPlainGrpcMessage(response: UniversalServerResponse): UniversalServerResponse {
  const { trailer } = response;
  if (trailer === undefined) return response;
  return {
    ...response,
    get trailer() {
      const message = trailer.get(NAME);
      if (message === null) return trailer;
      const rewritten = new Headers(trailer);
      rewritten.set(NAME, encodeGrpcMessage(decodeURIComponent(message)));
      return rewritten;
    },
  };
}

/** Percent-encodes a text for `grpc-message`. */
export function encodeGrpcMessage(message: string): string {
  return message.replaceAll(/[^ -$&-~]+/gu, (part) =>
    Buffer.from(part).toString("hex").toUpperCase().replaceAll(/../g, "%$&"),
  );
}
