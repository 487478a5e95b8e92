/**
 * Small facts that have to survive the process, beside the data of streams: text by key.
 *
 * Few and small: they are held in memory by whoever reads them.
 */
export interface Records {
  /** All of them, sorted by key. */
  entries(): readonly (readonly [key: string, text: string])[];
  /** Keeps a fact in place of what the key had. Resolves when durable. @throws StreamError STORE_UNAVAILABLE */
  put(key: string, text: string): Promise<void>;
  /** Forgets a fact. Resolves when that is durable. */
  delete(key: string): Promise<void>;
}
