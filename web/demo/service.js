/**
 * The address of the service, and its unary calls: Connect's JSON form is a POST of the request to
 * the path of the method.
 */

const CALL_TIMEOUT_MS = 10_000;

/** A call that failed. */
export class ServiceError extends Error {
  /** @override */
  name = "ServiceError";

  /**
   * @param {string} code Connect's name of the code; `unavailable` also when no service answered.
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }

  /** Whether the service refuses writes of this page for good. */
  get isForbidden() {
    return this.code === "permission_denied" || this.code === "unauthenticated";
  }
}

/**
 * The address of the WebSocket bridge that belongs to the page. A page that is served under a
 * prefix finds it under the same prefix.
 *
 * @param {string} page Address of the page.
 */
export function bridgeUrl(page) {
  const url = new URL("./", page);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/**
 * Calls a method of `millrace.v1.StreamService`.
 *
 * @param {string} method For example `Set`.
 * @param {object} request As proto JSON.
 * @param {{ keepalive?: boolean }} [options] `keepalive`: the call may outlive the page.
 * @returns {Promise<unknown>} The response, as proto JSON.
 * @throws {ServiceError}
 */
export async function call(method, request, { keepalive = false } = {}) {
  let response;
  /** @type {unknown} */
  let answer;
  try {
    response = await fetch(`millrace.v1.StreamService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
      keepalive,
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
    answer = await response.json();
  } catch {
    throw new ServiceError("unavailable", "The service does not answer.");
  }
  if (response.ok) return answer;
  const { code, message } = fieldsOf(answer);
  throw new ServiceError(
    typeof code === "string" ? code : "unknown",
    typeof message === "string" ? message : `The service answered with HTTP ${response.status}.`,
  );
}

/**
 * The fields of a JSON value that is expected to be an object. Any client may write to a stream, so
 * readers must accept any value.
 *
 * @param {unknown} value
 * @returns {Readonly<Record<string, unknown>>} Empty for what is no object.
 */
export function fieldsOf(value) {
  return typeof value === "object" && value !== null
    ? /** @type {Record<string, unknown>} */ (value)
    : {};
}

/**
 * @param {unknown} answer Of a write.
 * @returns {string | undefined}
 */
export function revisionOf(answer) {
  const { revision } = fieldsOf(fieldsOf(answer)["position"]);
  return typeof revision === "string" ? revision : undefined;
}
