import { StreamError } from "../core/errors.ts";
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
 * connection was lost. Resolves when it is stored. It is withdrawn when its caller has lost the right
 * to it meanwhile, or the socket has closed.
 *
 * @throws StreamError when it cannot be shown.
 */
export async function showPresence(
  { streamName, groupId, presence }: JoinFrame,
  admission: Admission,
  socket: Pick<HelloOwner, "caller" | "isClosed">,
  handlers: PresenceHandlers,
): Promise<void> {
  if (presence === undefined) return admission.show(undefined);
  const group = { streamName, groupId };
  const shown = await handlers.announce(group, presence, socket.caller);
  // The subscription is suspended, and its client has not seen this join succeed.
  if (socket.isClosed) return shown.leave();
  admission.show(shown);
  // A change of rights finds what is shown, but not what is about to be.
  try {
    handlers.requirePresence(group, socket.caller);
  } catch {
    admission.show(undefined);
  }
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
