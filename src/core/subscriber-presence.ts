import type { Value } from "./value.ts";

/** Most bytes of what a subscription shows of its subscriber, as JSON text. */
export const MAX_PRESENCE_BYTES = 4096;

/** What a subscription shows of its subscriber to the others of its group. */
export interface SubscriberPresence {
  /** Shows something else. It is stored in the background. */
  change(data: Value): void;
  /** Withdraws it, for example because the subscription has ended. Idempotent. */
  leave(): void;
}
