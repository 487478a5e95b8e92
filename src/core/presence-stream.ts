import { type GroupKey, MAX_NAME_BYTES, RESERVED_PREFIX } from "./names.ts";
import { utf8Length } from "./text.ts";

/*
 * The stream that shows who is present in the groups of another one, its base: the presence of
 * group g of `chat` is group g of `millrace:presence:chat`.
 */

const PREFIX = `${RESERVED_PREFIX}presence:`;

/** Longest name of a stream with presence, in bytes of UTF-8: with the prefix it is a name. */
export const MAX_PRESENT_NAME_BYTES = MAX_NAME_BYTES - PREFIX.length;

/** In the order of groups: after all those of presence, and before any other that follows them. */
export const AFTER_PRESENCE_STREAMS: GroupKey = {
  // The character after the colon.
  streamName: `${PREFIX.slice(0, -1)};`,
  groupId: "",
};

/** Whether it is a stream of presence. */
export function isPresenceStream(streamName: string): boolean {
  return streamName.startsWith(PREFIX);
}

/** The base of a stream of presence; undefined: it is another stream. */
export function presenceBaseOf(streamName: string): string | undefined {
  return isPresenceStream(streamName) ? streamName.slice(PREFIX.length) : undefined;
}

/**
 * The stream that shows the presence of a stream; undefined where there is none: for streams of the
 * service itself, and for names that are too long.
 */
export function presenceStreamOf(streamName: string): string | undefined {
  if (streamName.startsWith(RESERVED_PREFIX)) return undefined;
  return utf8Length(streamName) > MAX_PRESENT_NAME_BYTES ? undefined : PREFIX + streamName;
}

/** The group that shows the presence of a group; undefined where there is none. */
export function presenceGroupOf({ streamName, groupId }: GroupKey): GroupKey | undefined {
  const presence = presenceStreamOf(streamName);
  return presence === undefined ? undefined : { streamName: presence, groupId };
}
