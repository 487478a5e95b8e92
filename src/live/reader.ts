/**
 * Who reads frames and waits for more. An object, where others have a callback: there is one for each of
 * many thousand subscriptions, and to wake it costs as much as there is to touch.
 */
export interface Reader {
  /** There may be something to read, or room again for what was read. */
  wake(): void;
}
