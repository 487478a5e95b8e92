/** A response of either protocol version, or an HTTP/2 stream. */
interface Pending {
  readonly headersSent: boolean;
  once(event: "close", listener: () => void): unknown;
}

/** Requests whose response has not begun. */
export interface PendingResponses {
  add(response: Pending): void;
  /** Whether a response is still to begin. */
  any(): boolean;
}

/** Tracks responses until they begin. */
export function createPendingResponses(): PendingResponses {
  const pending = new Set<Pending>();
  return {
    add(response) {
      pending.add(response);
      response.once("close", () => pending.delete(response));
    },
    any() {
      for (const response of pending) {
        if (!response.headersSent) return true;
        pending.delete(response);
      }
      return false;
    },
  };
}
