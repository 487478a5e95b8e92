import { type DescMessage, type MessageShape, create } from "@bufbuild/protobuf";
import { type ContextValues, createContextKey } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { preparedCall } from "./prepared-call.ts";

/** Whether a call has begun: its response headers may be sent, though it has no message yet. */
const callStart = createContextKey<{ hasBegun: boolean } | undefined>(undefined);

const NOTHING = new Uint8Array();

/**
 * Sends the response headers of a call before its first message.
 *
 * The framework holds them back until then, but the client of a bidirectional stream may wait for the headers
 * before it sends anything. So the implementation begins with an empty message, which the response leaves out.
 * A call that was refused before it began has no early headers.
 */
export function* headersFirst<Desc extends DescMessage>(
  values: ContextValues,
  output: Desc,
): Generator<MessageShape<Desc>, void> {
  const start = values.get(callStart);
  // Without a start, nothing would leave the empty message out.
  if (start === undefined || values.get(preparedCall).refusal !== undefined) return;
  start.hasBegun = true;
  yield create(output);
}

/** Makes a call whose implementation may use `headersFirst`. */
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

/** The same body with nothing in place of its first chunk. */
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
        // Errors of the transport reach the implementation.
        throw: (reason) => chunks.throw?.(reason) ?? Promise.reject(reason as Error),
        return: (value) =>
          chunks.return?.(value) ?? Promise.resolve({ done: true, value: undefined }),
      };
    },
  };
}
