import type { SessionConnection } from "../core/connection.ts";
import { StreamError } from "../core/errors.ts";
import { type GroupKey, RESERVED_PREFIX } from "../core/names.ts";
import { MAX_PRESENT_NAME_BYTES, presenceGroupOf } from "../core/presence-stream.ts";
import type { Presences } from "../presence/presences.ts";
import type { Caller } from "../rights/caller.ts";
import type { StreamTable } from "../streams/stream-settings.ts";
import type { Admission } from "../triggers/admission.ts";
import type { Require } from "./calls.ts";
import { requestInvalid } from "./checks.ts";
import type { Handlers } from "./handlers.ts";

/** The calls about the presence of subscribers. */
type PresenceCalls = Pick<Handlers, "requirePresence" | "announce">;

/** Dependencies of the calls. */
interface PresenceDependencies {
  readonly presences: Pick<Presences, "announce">;
  readonly streams: Pick<StreamTable, "of">;
  readonly require: Require;
}

/** Creates the calls about the presence of subscribers. */
export function createPresenceCalls(dependencies: PresenceDependencies): PresenceCalls {
  const { presences, streams, require } = dependencies;
  /** @returns The group that shows its presence. */
  const check = (group: GroupKey, caller: Caller): GroupKey => {
    const { streamName, groupId } = group;
    require(caller, "presence", { stream: streamName, group: groupId });
    const shownIn = presenceGroupOf(group);
    if (shownIn === undefined) {
      throw requestInvalid(
        "presence",
        `presence is given for a stream that has none; it may be given for streams whose names have at most ${MAX_PRESENT_NAME_BYTES} bytes and do not begin with ${RESERVED_PREFIX}.`,
      );
    }
    if (streams.of(streamName).presence) return shownIn;
    throw requestInvalid(
      "presence",
      "presence is given for a stream whose settings have presence: false; it may be absent.",
    );
  };
  return {
    requirePresence(group, caller) {
      check(group, caller);
    },
    async announce(group, data, caller) {
      const shownIn = check(group, caller);
      const { connection } = caller;
      if (connection?.bind === undefined)
        throw new StreamError("INTERNAL", "The connection of the caller has no session.");
      return presences.announce(shownIn, connection as SessionConnection, { ...caller, data });
    },
  };
}

/** Withdraws the presence of a subscription whose caller no longer has the right to it. */
export function withdrawUnlessAllowed(
  admission: Pick<Admission, "presence" | "show">,
  { streamName, groupId }: GroupKey,
  caller: Caller,
  require: Require,
): void {
  if (admission.presence === undefined) return;
  try {
    require(caller, "presence", { stream: streamName, group: groupId });
  } catch {
    admission.show(undefined);
  }
}
