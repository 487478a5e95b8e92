import { StreamError } from "./errors.ts";

/**
 * A subscription that cannot be opened here, because its session goes on at another socket, of this
 * process or of another one.
 */
export class HeldElsewhere extends StreamError {
  constructor() {
    super("STORE_UNAVAILABLE", "The session was taken up elsewhere; join again.");
  }
}
