import { StreamError } from "./errors.ts";

/** Operations that a custom stream may implement by functions. */
export const OVERRIDES = ["get", "set", "delete", "list", "list_groups", "update"] as const;

/** One of OVERRIDES. */
export type Override = (typeof OVERRIDES)[number];

/** Id of the function that implements an operation of a custom stream: `stream::get(orders)`. */
export function overrideId(override: Override, streamName: string): string {
  return `stream::${override}(${streamName})`;
}

const OVERRIDE_ID = new RegExp(`^stream::(${OVERRIDES.join("|")})\\((.*)\\)$`, "s");

/** Whether an id is that of a function of a custom stream. */
export function isOverrideId(functionId: string): boolean {
  return OVERRIDE_ID.test(functionId);
}

/** The custom stream whose function has this id; undefined for other ids. */
export function overriddenStream(functionId: string): string | undefined {
  return OVERRIDE_ID.exec(functionId)?.[2];
}

/** The error for operations that custom streams do not support. */
export function customStreamUnsupported(): StreamError {
  return new StreamError(
    "CUSTOM_STREAM_UNSUPPORTED",
    "The stream is custom: its values are stored outside the service; expected_revision, expected_epoch, idempotency_key and batches may be used with other streams only.",
  );
}
