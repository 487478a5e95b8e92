import { StreamError } from "./errors.ts";

/**
 * What a session cannot do here any more, because it goes on at another socket, of this process or of
 * another one.
 */
export class HeldElsewhere extends StreamError {
  constructor() {
    super("STORE_UNAVAILABLE", "The session was taken up elsewhere; try again there.");
  }
}
