import { type DescMessage, type MessageShape, create } from "@bufbuild/protobuf";
import { type ContextValues, createContextKey } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { preparedCall } from "./prepared-call.ts";

/** Whether a call has begun, so that its response headers may be sent before its first message. */
const callStart = createContextKey<{ hasBegun: boolean } | undefined>(undefined);

const NOTHING = new Uint8Array();

/**
 * Sends the response headers of a call before its first message.
 *
 * The framework holds them back until then, but the client of a bidirectional stream may wait for
 * the headers before it sends anything. So the implementation yields an empty message first, which
 * `withEarlyHeaders` removes from the response. A call that was refused before it began has no
 * early headers.
 */
export function* headersFirst<Desc extends DescMessage>(
  values: ContextValues,
  output: Desc,
): Generator<MessageShape<Desc>, void> {
  const start = values.get(callStart);
  // Without `withEarlyHeaders`, nothing would remove the empty message.
  if (start === undefined || values.get(preparedCall).refusal !== undefined) return;
  start.hasBegun = true;
  yield create(output);
}

/** Runs a call whose implementation may use `headersFirst`. */
export async function withEarlyHeaders(
  values: ContextValues,
  call: () => Promise<UniversalServerResponse>,
): Promise<UniversalServerResponse> {
  const start = { hasBegun: false };
  values.set(callStart, start);
  const response = await call();
  const { body } = response;
  return start.hasBegun && body !== undefined
    ? { ...response, body: withoutFirst(body) }
    : response;
}

/** The body with an empty chunk in place of its first. */
function withoutFirst(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const chunks = body[Symbol.asyncIterator]();
      let isFirst = true;
      return {
        async next() {
          const chunk = await chunks.next();
          if (!isFirst || chunk.done === true) return chunk;
          isFirst = false;
          return { done: false, value: NOTHING };
        },
        // Passes errors of the transport on to the implementation.
        throw: (reason) => chunks.throw?.(reason) ?? Promise.reject(reason as Error),
        return: (value) =>
          chunks.return?.(value) ?? Promise.resolve({ done: true, value: undefined }),
      };
    },
  };
}
