import { currentAuthor } from "../functions/cause.ts";
import { type Caller, THIS_PROCESS } from "../rights/caller.ts";

/** This process as a caller, or the function whose invocation is running: the author of what it writes. */
export function currentCaller(): Caller {
  const author = currentAuthor();
  return author === "" ? THIS_PROCESS : { ...THIS_PROCESS, author };
}
