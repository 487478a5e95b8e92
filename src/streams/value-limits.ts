import { StreamError } from "../core/errors.ts";
import type { Value } from "../core/value.ts";
import type { StreamSettings } from "./stream-settings.ts";

/**
 * Checks that a value may be stored in a stream.
 *
 * @param field Name of the field in metadata.
 * @param subject Name of the value in messages. Default: that of the field.
 * @throws StreamError VALUE_TOO_LARGE, SCHEMA_MISMATCH
 */
export function checkStreamValue(
  settings: StreamSettings,
  value: Value,
  field: string,
  subject = field,
): void {
  const { maxValueBytes, schema } = settings;
  if (value.size > maxValueBytes) {
    throw new StreamError(
      "VALUE_TOO_LARGE",
      `${subject} has ${value.size} bytes; values of this stream may have up to ${maxValueBytes}.`,
      { metadata: { field } },
    );
  }
  schema?.check(value, field, subject);
}
