import { StreamError } from "../core/errors.ts";
import { isRecord } from "../core/is-record.ts";
import { MAX_PRESENCE_BYTES } from "../core/subscriber-presence.ts";
import { utf8Length } from "../core/text.ts";
import { Value } from "../core/value.ts";
import { invalid } from "./invalid.ts";

/**
 * Checks the data of an announcement.
 *
 * @param field Its name in the frame.
 * @throws StreamError REQUEST_INVALID, VALUE_INVALID, VALUE_TOO_DEEP, VALUE_TOO_LARGE
 */
export function readPresenceData(data: unknown, field: string): Value {
  if (!isRecord(data)) throw invalid(field, "is not an object", "a JSON object");
  const value = Value.of(data, field);
  if (utf8Length(value.text) > MAX_PRESENCE_BYTES) {
    throw new StreamError(
      "VALUE_TOO_LARGE",
      `${field} is too large; it may have up to ${MAX_PRESENCE_BYTES} bytes as JSON text.`,
      { metadata: { field } },
    );
  }
  // It will be stored within another object.
  Value.of([data], field);
  return value;
}
