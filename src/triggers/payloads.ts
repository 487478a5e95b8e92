import type { GroupEvent } from "../core/change.ts";
import type { Connected } from "../core/connection.ts";
import type { GroupKey } from "../core/names.ts";

/* Payloads of trigger functions: JSON text in the shapes of the WebSocket protocol. */

/** A change or a transient event, as a WebSocket frame carries it. */
export function eventPayload(group: GroupKey, event: GroupEvent): string {
  const { itemId, timestamp, value } = event;
  const content =
    event.kind === "change"
      ? `{"type":"${event.type}","data":${value.text}}`
      : `{"type":"event","event":{"type":${JSON.stringify(event.type)},"data":${value.text}}}`;
  const at =
    event.kind === "change"
      ? `,"epoch":${JSON.stringify(event.position.epoch)},"revision":${event.position.revision}`
      : "";
  return (
    `{"type":"stream","timestamp":${timestamp}${at},"streamName":${JSON.stringify(group.streamName)},` +
    `"groupId":${JSON.stringify(group.groupId)},"id":${JSON.stringify(itemId ?? null)},"event":${content}}`
  );
}

/** A subscription, as `stream:join` and `stream:leave` functions see it. */
export interface JoinedSubscription extends GroupKey {
  /** Id that the client, or the service, gave it. */
  readonly subscriptionId: string;
  /** Undefined: it follows the whole group. */
  readonly itemId: string | undefined;
  /**
   * Context that `auth_function` returned for the caller: JSON text; `null` when it returned none.
   */
  readonly context: string;
  readonly connection: Connected;
}

/** Payload of join functions. */
export function joinPayload(joined: JoinedSubscription): string {
  return `{"action":"subscribe",${fieldsOf(joined)}}`;
}

/**
 * Payload of leave functions. A later version of the service may read it, after this process is
 * gone.
 */
export function leavePayload(joined: JoinedSubscription): string {
  return `{${fieldsOf(joined)}}`;
}

function fieldsOf(joined: JoinedSubscription): string {
  const { subscriptionId, streamName, groupId, itemId, context, connection } = joined;
  return (
    `"subscription_id":${JSON.stringify(subscriptionId)},"stream_name":${JSON.stringify(streamName)},` +
    `"group_id":${JSON.stringify(groupId)},"id":${JSON.stringify(itemId ?? null)},"context":${context},` +
    `"connection_id":${JSON.stringify(connection.connectionId)}`
  );
}
