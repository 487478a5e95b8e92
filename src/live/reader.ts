/**
 * Reads frames and waits for more. An object instead of a callback: there is one for each of many
 * thousand subscriptions, and waking it costs as much as the memory that it touches.
 */
export interface Reader {
  /** Called when there may be frames to read, or room again for those that were read. */
  wake(): void;
}
