import { StreamError } from "./errors.ts";

/** What of a custom stream is done by functions. */
export const OVERRIDES = ["get", "set", "delete", "list", "list_groups", "update"] as const;

/** One of OVERRIDES. */
export type Override = (typeof OVERRIDES)[number];

/** Id of the function that does this for a custom stream: `stream::get(orders)`. */
export function overrideId(override: Override, streamName: string): string {
  return `stream::${override}(${streamName})`;
}

const OVERRIDE_ID = new RegExp(`^stream::(${OVERRIDES.join("|")})\\((.*)\\)$`, "s");

/** Whether an id is that of a function of a custom stream. */
export function isOverrideId(functionId: string): boolean {
  return OVERRIDE_ID.test(functionId);
}

/** The custom stream whose function has this id; undefined when it is no such id. */
export function overriddenStream(functionId: string): string | undefined {
  return OVERRIDE_ID.exec(functionId)?.[2];
}

/** The refusal of what custom streams cannot do. */
export function customStreamUnsupported(): StreamError {
  return new StreamError(
    "CUSTOM_STREAM_UNSUPPORTED",
    "The stream is a custom one, whose values live outside; expected_revision, expected_epoch and batches may be used with other streams only.",
  );
}
