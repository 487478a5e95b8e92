/**
 * The rule for the answer of every gate: what a gate may return to allow a request. Nothing, null, or an
 * object without an objection allows. Everything else refuses (G8): a gate that returns something
 * unexpected is broken, and a broken gate stays shut.
 */

/** An answer of a gate, read. */
export type GateAnswer =
  /** @property fields The object that it returned; undefined when it returned nothing or null. */
  | { readonly allows: true; readonly fields: Fields | undefined }
  /** @property why For the operator's log, without a subject: "it returned false". Callers never see it. */
  | { readonly allows: false; readonly why: string };

type Fields = Readonly<Record<string, unknown>>;

/** Lowest `statusCode` that stands for a failure, as in HTTP. */
const MIN_FAILURE_STATUS = 400;

/**
 * Reads the answer of a gate.
 *
 * @param answer JSON text; undefined when the function returned nothing.
 * @throws SyntaxError when it is not JSON.
 */
export function readGateAnswer(answer: string | undefined): GateAnswer {
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

/** What an object has against the request; undefined: nothing. As elsewhere, null is as good as absent. */
function objectionIn({ unauthorized, error, statusCode }: Fields): string | undefined {
  if (unauthorized === true) return "it returned unauthorized: true";
  if (unauthorized !== undefined && unauthorized !== null && unauthorized !== false)
    return `its unauthorized is ${kindOf(unauthorized)}; it may be true or false`;
  if (error !== undefined && error !== null) return "it returned an object with an error";
  if (typeof statusCode === "number" && statusCode >= MIN_FAILURE_STATUS)
    return `it returned the statusCode ${statusCode}`;
  return undefined;
}

/** What kind of JSON value something is: what a gate returns may be secret, so the log does not quote it. */
function kindOf(json: unknown): string {
  if (typeof json === "boolean") return String(json);
  if (typeof json === "number") return "a number";
  if (typeof json === "string") return "a string";
  return Array.isArray(json) ? "an array" : "an object";
}
