import { StreamError } from "../core/errors.ts";
import type { Caller } from "../rights/caller.ts";
import type { Admission, Handlers } from "../service/handlers.ts";
import type { JoinFrame, PresenceFrame } from "./client-frame.ts";
import type { HelloOwner } from "./hello.ts";
import { invalid } from "./invalid.ts";
import type { JoinedFeed } from "./joined.ts";
import { errorFrame } from "./server-frame.ts";

/*
 * The presence of the subscriptions of a socket.
 */

type PresenceHandlers = Pick<Handlers, "announce" | "requirePresence">;

/**
 * Shows the presence of a join, or none, in place of what its subscription showed before the
 * connection was lost. Resolves when it is stored.
 *
 * @throws StreamError when it cannot be shown.
 */
export async function showPresence(
  { streamName, groupId, presence }: JoinFrame,
  admission: Admission,
  caller: Caller,
  handlers: PresenceHandlers,
): Promise<void> {
  if (presence === undefined) return admission.show(undefined);
  admission.show(await handlers.announce({ streamName, groupId }, presence, caller));
}

/**
 * Changes what a subscription shows, or responds with an error: it is no mistake of the client that
 * the subscription has ended meanwhile.
 *
 * @param joined The subscription; undefined: none has the id.
 */
export function changePresence(
  { subscriptionId, data }: PresenceFrame,
  joined: JoinedFeed | undefined,
  socket: Pick<HelloOwner, "caller" | "reply">,
  handlers: PresenceHandlers,
): void {
  try {
    const presence = joined?.join.admission.presence;
    if (joined === undefined || presence === undefined) throw withoutPresence(joined);
    handlers.requirePresence(joined.join, socket.caller);
    presence.change(data);
  } catch (error) {
    socket.reply(errorFrame(StreamError.from(error), undefined, subscriptionId));
  }
}

function withoutPresence(joined: JoinedFeed | undefined): StreamError {
  const problem = joined === undefined ? "is unknown" : "is of a subscription without presence";
  return invalid("subscriptionId", problem, "that of a subscription that was joined with presence");
}
