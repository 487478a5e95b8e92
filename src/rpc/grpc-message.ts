import type { UniversalServerResponse } from "@connectrpc/connect/protocol";

const NAME = "grpc-message";

/**
 * The same response with its `grpc-message` trailer encoded as gRPC asks: `%` and what is not
 * printable ASCII, nothing else. The framework encodes all punctuation, and some clients (grpc-js for
 * one) do not undo that.
 *
 * The trailer is rewritten when it is read, which is after the body, where it is filled.
 */
export function withPlainGrpcMessage(response: UniversalServerResponse): UniversalServerResponse {
  const { trailer } = response;
  if (trailer === undefined) return response;
  return {
    ...response,
    get trailer() {
      const message = trailer.get(NAME);
      if (message === null) return trailer;
      const plain = new Headers(trailer);
      plain.set(NAME, encodeGrpcMessage(decodeURIComponent(message)));
      return plain;
    },
  };
}

/** Encodes a text for `grpc-message`. */
export function encodeGrpcMessage(message: string): string {
  return message.replaceAll(/[^ -$&-~]+/gu, (part) =>
    Buffer.from(part).toString("hex").toUpperCase().replaceAll(/../g, "%$&"),
  );
}
