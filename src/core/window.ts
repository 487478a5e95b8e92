/**
 * Most items of a window.
 *
 * @internal
 */
export const MAX_WINDOW = 10_000;

/** What a window may be, for errors. */
export const MAY_WINDOW = `an integer from 1 to ${MAX_WINDOW}, or absent`;

/** Whether a value is the size of a window. */
export function isWindow(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= MAX_WINDOW;
}
