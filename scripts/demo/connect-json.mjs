/**
 * Calls of the service with nothing but fetch: Connect's JSON form of a unary call is a POST of the
 * request, as JSON, to the method's path.
 */
import { Failure } from "../lib/project.mjs";

const TIMEOUT_MS = 10_000;

/**
 * Calls a method of `millrace.v1.StreamService`.
 *
 * @param {string} url Of the service.
 * @param {string} method For example `Batch`.
 * @param {object} request As proto JSON.
 * @param {AbortSignal} stop
 * @returns {Promise<any>} The response, as proto JSON.
 * @throws {Failure} With the sentence of the service, or when it does not respond.
 */
export async function call(url, method, request, stop) {
  let response;
  let text;
  try {
    response = await fetch(`${url}/millrace.v1.StreamService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
      signal: AbortSignal.any([stop, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    text = await response.text();
  } catch {
    throw new Failure(`The service at ${url} does not answer.`);
  }
  if (response.ok) return JSON.parse(text);
  throw new Failure(
    `The service refused ${method}: ${messageOf(text) ?? `HTTP ${response.status}`}`,
  );
}

/**
 * The sentence of a Connect error.
 *
 * @param {string} text
 * @returns {string | undefined}
 */
function messageOf(text) {
  try {
    const { message } = JSON.parse(text);
    return typeof message === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}
