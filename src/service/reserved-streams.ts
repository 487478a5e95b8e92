import { StreamError } from "../core/errors.ts";
import { RESERVED_PREFIX } from "../core/names.ts";
import type { Action } from "../rights/action.ts";
import { DEAD_LETTERS } from "./dead-letters.ts";
import type { BatchRequest, GroupRequest } from "./requests.ts";
import type { Writes } from "./writes.ts";

/**
 * The calls that write, for callers. They refuse the streams of the service itself, whose names
 * begin with `millrace:`, whatever rights a caller has. Only dead letters may be deleted.
 */
export function exceptReserved(writes: Writes): Writes {
  return {
    set: (request, author, once, connection) =>
      isReserved(request)
        ? refuse("write", request)
        : writes.set(request, author, once, connection),
    update: (request, author, once, connection) =>
      isReserved(request)
        ? refuse("write", request)
        : writes.update(request, author, once, connection),
    delete: (request, author, once) =>
      isReserved(request) && request.streamName !== DEAD_LETTERS
        ? refuse("write", request)
        : writes.delete(request, author, once),
    batch: (request, author, once) =>
      isReserved(request) && !(request.streamName === DEAD_LETTERS && onlyDeletes(request))
        ? refuse("write", request)
        : writes.batch(request, author, once),
    send: (request, author) =>
      isReserved(request) ? refuse("send", request) : writes.send(request, author),
  };
}

function isReserved({ streamName }: { readonly streamName: unknown }): boolean {
  // Names are not checked yet.
  return typeof streamName === "string" && streamName.startsWith(RESERVED_PREFIX);
}

function onlyDeletes({ mutations }: BatchRequest): boolean {
  return mutations.every(({ kind }) => kind === "delete");
}

function refuse(action: Action, { streamName, groupId }: GroupRequest): Promise<never> {
  const sentence = `stream_name begins with ${RESERVED_PREFIX}, and only the service itself writes such streams; it may be any other name.`;
  const metadata = { action, stream_name: streamName, group_id: groupId };
  return Promise.reject(new StreamError("ACTION_DENIED", sentence, { metadata }));
}
