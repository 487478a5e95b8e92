/**
 * The rule for the results of all gates. Nothing, null, or an object without an objection allows
 * the request. Everything else refuses it (G8): a gate that returns something unexpected is broken,
 * and a broken gate stays shut.
 */

/** The decision of a gate. */
export type GateDecision =
  /** @property fields The returned object; undefined when the gate returned nothing or null. */
  | { readonly allows: true; readonly fields: Fields | undefined }
  /**
   * @property why For the operator's log, without a subject: "it returned false". Callers never see
   *   it.
   */
  | { readonly allows: false; readonly why: string };

/** The object that a gate returned. */
export type Fields = Readonly<Record<string, unknown>>;

/** Lowest `statusCode` that stands for a failure, as in HTTP. */
const MIN_FAILURE_STATUS = 400;

/**
 * Reads the result of a gate.
 *
 * @param answer JSON text; undefined when the function returned nothing.
 * @throws SyntaxError when it is not JSON.
 */
export function readGateAnswer(answer: string | undefined): GateDecision {
  const json: unknown = answer === undefined ? null : JSON.parse(answer);
  if (json === null) return { allows: true, fields: undefined };
  if (typeof json !== "object" || Array.isArray(json)) {
    return {
      allows: false,
      why: `it returned ${kindOf(json)}; it may return nothing or an object`,
    };
  }
  const fields = json as Fields;
  const why = objectionIn(fields);
  return why === undefined ? { allows: true, fields } : { allows: false, why };
}

/** The objection in a returned object; undefined when there is none. null counts as absent. */
function objectionIn({ unauthorized, error, statusCode }: Fields): string | undefined {
  if (unauthorized === true) return "it returned unauthorized: true";
  if (unauthorized !== undefined && unauthorized !== null && unauthorized !== false)
    return `its unauthorized is ${kindOf(unauthorized)}; it may be true or false`;
  if (error !== undefined && error !== null) return "it returned an object with an error";
  if (typeof statusCode === "number" && statusCode >= MIN_FAILURE_STATUS)
    return `it returned the statusCode ${statusCode}`;
  return undefined;
}

/** Kind of a JSON value. The log does not quote the value itself, because it may be secret. */
export function kindOf(json: unknown): string {
  if (typeof json === "boolean") return String(json);
  if (typeof json === "number") return "a number";
  if (typeof json === "string") return "a string";
  return Array.isArray(json) ? "an array" : "an object";
}
