/** Most seconds of a google.protobuf.Duration: about 10,000 years. */
const MAX_SECONDS = 315_576_000_000;
const NANOS_PER_MS = 1_000_000;

/** The JSON form of a Duration: seconds with up to nine decimals, and the letter s. */
const DURATION_TEXT = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/;

/**
 * A duration in milliseconds, which may have a fraction; undefined when it is not a valid
 * google.protobuf.Duration.
 */
export function durationMs(seconds: number, nanos: number): number | undefined {
  if (Math.abs(seconds) > MAX_SECONDS || Math.abs(nanos) > 999_999_999) return undefined;
  if (seconds * nanos < 0) return undefined;
  return seconds * 1000 + nanos / NANOS_PER_MS;
}

/** A duration from its JSON form, such as `1.5s`, in milliseconds; undefined for other text. */
export function durationTextMs(text: string): number | undefined {
  const [, sign, seconds, decimals = ""] = DURATION_TEXT.exec(text) ?? [];
  if (seconds === undefined) return undefined;
  const ms = durationMs(Number(seconds), Number(decimals.padEnd(9, "0")));
  // -0 becomes 0.
  return ms === undefined || sign === "" ? ms : 0 - ms;
}
