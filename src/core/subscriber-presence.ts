import type { Value } from "./value.ts";

/** Most bytes of an announcement, as JSON text. */
export const MAX_PRESENCE_BYTES = 4096;

/** The announcement of a subscription: what it shows of its subscriber to others. */
export interface SubscriberPresence {
  /** Shows something else. It is stored in the background. */
  change(data: Value): void;
  /** Withdraws it, for example because the subscription has ended. Idempotent. */
  leave(): void;
}
