import { FunctionError } from "../core/function-call.ts";
import { MAX_ANSWER_BYTES } from "./transport.ts";
import { WEBHOOK_URL } from "./webhook-fields.ts";

/**
 * The failures of one webhook. Their sentences contain neither URL nor body nor secret; errors of
 * the network are in the cause.
 */
export interface Failures {
  readonly unreachable: (attempt: number, cause: unknown) => FunctionError;
  readonly badStatus: (attempt: number, status: number) => FunctionError;
  readonly tooManyRedirects: (most: number) => FunctionError;
  readonly badRedirect: () => FunctionError;
  readonly privateAddress: () => FunctionError;
  readonly notJson: () => FunctionError;
  readonly tooLarge: () => FunctionError;
  readonly noRoom: () => FunctionError;
  readonly metadataTooLarge: (mostBytes: number) => FunctionError;
}

/** Creates the failures of a function's calls. */
export function failuresOf(functionId: string, allowRedirects: boolean): Failures {
  const failed = (sentence: string, cause?: unknown) =>
    new FunctionError("invocation_failed", `The function ${functionId} ${sentence}`, { cause });
  const may = allowRedirects
    ? "it may respond with a status from 200 to 299, or redirect with 307 or 308, which keep the POST."
    : "it may respond with a status from 200 to 299.";
  return {
    unreachable: (attempt, cause) =>
      failed(`could not be reached in attempt ${attempt} (${codeOf(cause)}).`, bare(cause)),
    badStatus: (attempt, status) =>
      failed(`responded to attempt ${attempt} with status ${status}; ${may}`),
    tooManyRedirects: (most) =>
      failed(`redirected more than ${most} times; it may do so up to that.`),
    badRedirect: () =>
      failed(`redirected to an invalid URL; it may be ${WEBHOOK_URL.may}, and https after https.`),
    privateAddress: () =>
      failed("leads to a private address; it may do so with allow_private_addresses: true."),
    notJson: () =>
      failed(
        "responded with a body that is not JSON; it may respond with any JSON value, or nothing.",
      ),
    tooLarge: () =>
      failed(`responded with too much; its response may have up to ${MAX_ANSWER_BYTES} bytes.`),
    noRoom: () =>
      failed(
        "responded while the service held as many bytes of requests and responses as it may; it may be called again in a moment.",
      ),
    metadataTooLarge: (mostBytes) =>
      new FunctionError(
        "payload_too_large",
        `The metadata for ${functionId} is too large for a header; it may have up to ${mostBytes} bytes there.`,
      ),
  };
}

/** A network error without what Node attaches to it: pieces of the response, certificates. */
function bare(error: unknown): Error {
  const { message, code } = error as NodeJS.ErrnoException;
  return Object.assign(new Error(message), { code });
}

function codeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === "string" ? code : "the connection broke";
}
