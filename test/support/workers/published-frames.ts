import { z } from "zod";

/*
 * The types that the published SDKs of iii declare for frames of a service: the npm package
 * 0.22.1, the Python package 0.22.1 and 0.25.0, the crate 0.22.1 and 0.25.0. Each frame has the
 * strictest of their types: the crate drops frames whose invocation_id is not a UUID, and both the
 * crate and the Python package drop frames without a field that has no default. Fields that no SDK
 * declares are errors.
 */

const ERROR = z.strictObject({
  code: z.string(),
  message: z.string(),
  stacktrace: z.string().optional(),
});
const TRACE = { traceparent: z.string().optional(), baggage: z.string().optional() };
/** Any JSON value; required. */
const JSON_VALUE = z.json();

/** A frame that every published SDK accepts. */
export const PUBLISHED_FRAME = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("workerregistered"),
    worker_id: z.string(),
    reattach_token: z.string().optional(),
  }),
  z.strictObject({
    type: z.literal("triggerregistrationresult"),
    id: z.string(),
    trigger_type: z.string(),
    function_id: z.string(),
    error: ERROR.optional(),
  }),
  z.strictObject({
    type: z.literal("invokefunction"),
    invocation_id: z.uuid(),
    function_id: z.string(),
    data: JSON_VALUE,
    metadata: JSON_VALUE.optional(),
    ...TRACE,
  }),
  z.strictObject({
    type: z.literal("invocationresult"),
    invocation_id: z.uuid(),
    function_id: z.string(),
    result: JSON_VALUE.optional(),
    error: ERROR.optional(),
    ...TRACE,
  }),
]);
