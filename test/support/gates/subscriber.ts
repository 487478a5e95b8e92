import { LOCAL } from "../../../src/rights/caller.ts";
import type { SubscriptionHolder } from "../../../src/service/handlers.ts";

/** A subscriber of this program that nobody ends. */
export const SUBSCRIBER: SubscriptionHolder = {
  door: "library",
  address: "",
  caller: LOCAL,
  positionOf: () => undefined,
  end: () => {},
};
