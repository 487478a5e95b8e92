import { MAX_NAME_BYTES, RESERVED_PREFIX, isName } from "../core/names.ts";

/** The names of streams that settings apply to: one name, or all with a prefix. */
export interface StreamPattern {
  /** The name, or the prefix. */
  readonly start: string;
  readonly isPrefix: boolean;
}

/** The permitted patterns, for the end of a sentence. */
export const STREAM_PATTERN_MAY =
  "the name of a stream, or the beginning of names and a star (`chat-*`), or * for all streams";

/**
 * Compiles a pattern: the name of a stream, or a prefix of names when it ends in `*`.
 *
 * @throws SyntaxError with the problem as a clause, such as "is empty; it may be a name".
 */
export function compileStreamPattern(text: string): StreamPattern {
  const isPrefix = text.endsWith("*");
  const start = isPrefix ? text.slice(0, -1) : text;
  if (text === "") throw new SyntaxError(`is empty; it may be ${STREAM_PATTERN_MAY}`);
  if (start.includes("*")) throw new SyntaxError("has a * before its end; it may end in one *");
  if (start !== "" && !isName(start)) {
    throw new SyntaxError(
      `is not the name of a stream; it may be 1 to ${MAX_NAME_BYTES} bytes of UTF-8 without control characters`,
    );
  }
  if (start.startsWith(RESERVED_PREFIX)) {
    throw new SyntaxError(
      `is about streams of the service itself, whose names begin with ${RESERVED_PREFIX}; it may be about any other`,
    );
  }
  return { start, isPrefix };
}
