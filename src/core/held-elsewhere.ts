import { StreamError } from "./errors.ts";

/** A lease that cannot be recorded, because another process holds its session. */
export class HeldElsewhere extends StreamError {
  constructor() {
    super("STORE_UNAVAILABLE", "The session was taken up at another process; join again.");
  }
}
