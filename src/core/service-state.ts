/**
 * Small records of the service that have to survive the process, beside the data of streams: text
 * by key. Few and small, because their readers hold all of them in memory.
 */
export interface ServiceState {
  /** All of them, sorted by key. */
  entries(): readonly (readonly [key: string, text: string])[];
  /**
   * Writes a record, replacing the one of the key. Resolves when durable. @throws StreamError
   * STORE_UNAVAILABLE
   */
  put(key: string, text: string): Promise<void>;
  /** Removes a record. Resolves when durable. */
  delete(key: string): Promise<void>;
}
