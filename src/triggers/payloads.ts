import { NO_AUTHOR } from "../core/author.ts";
import type { ChangeEvent, GroupEvent } from "../core/change.ts";
import type { Connected } from "../core/connection.ts";
import type { GroupKey } from "../core/names.ts";
import { opsText } from "../core/op-text.ts";
import { presenceBaseOf, presenceStreamOf } from "../core/presence-stream.ts";
import type { GatedMutation, GatedWrite, WriteAction } from "./gated-write.ts";

/* Payloads of trigger functions: JSON text in the shapes of the WebSocket protocol. */

/** A change or a transient event, as a WebSocket frame carries it, with its author. */
export function eventPayload(group: GroupKey, event: GroupEvent): string {
  const { itemId, timestamp, value, author } = event;
  const content =
    event.kind === "change"
      ? `{"type":"${event.type}","data":${value.text}${causeOf(event)}}`
      : `{"type":"event","event":{"type":${JSON.stringify(event.type)},"data":${value.text}}}`;
  const at =
    event.kind === "change"
      ? `,"epoch":${JSON.stringify(event.position.epoch)},"revision":${event.position.revision}`
      : "";
  return (
    `{"type":"stream","timestamp":${timestamp}${at},"streamName":${JSON.stringify(group.streamName)},` +
    `"groupId":${JSON.stringify(group.groupId)},"id":${JSON.stringify(itemId ?? null)},"event":${content},` +
    `"author":${author === NO_AUTHOR ? '""' : JSON.stringify(author)}}`
  );
}

function causeOf({ cause }: ChangeEvent): string {
  return cause === undefined ? "" : `,"cause":"${cause}"`;
}

/** A caller, as gates see it. */
export interface GateCaller {
  /** Id of the user; undefined when nobody named one. */
  readonly user?: string | undefined;
  /**
   * Context that `auth_function` returned for the caller: JSON text; `null` when it returned none.
   */
  readonly context: string;
  readonly connection: Connected;
}

/** A subscription, as `stream:join` and `stream:leave` functions see it. */
export interface JoinedSubscription extends GroupKey, GateCaller {
  /** Id that the client, or the service, gave it. */
  readonly subscriptionId: string;
  /** Undefined: it follows the whole group. */
  readonly itemId: string | undefined;
}

/** A read of one item, or of a group: its items, or its history. */
export interface GroupRead extends GroupKey, GateCaller {
  /** Undefined: it reads the whole group. */
  readonly itemId?: string | undefined;
}

/** Payload of join functions. */
export function joinPayload(joined: JoinedSubscription): string {
  return `{"action":"subscribe",${fieldsOf(joined)}}`;
}

/** Payload of join gates that are asked again about an open subscription. */
export function recheckPayload(joined: JoinedSubscription): string {
  return `{"action":"subscribe","recheck":true,${fieldsOf(joined)}}`;
}

/** Payload of join gates that are asked about a read. */
export function readPayload(read: GroupRead): string {
  return `{"action":"read",${placeOf(read, read.itemId)},${callerOf(read)}}`;
}

/**
 * Payload of leave functions. A later version of the service may read it, after this process is
 * gone.
 */
export function leavePayload(joined: JoinedSubscription): string {
  return `{${fieldsOf(joined)}}`;
}

/** Reads the payload of leave functions that another process wrote. */
export function readLeavePayload(payload: string): JoinedSubscription {
  const fields = JSON.parse(payload) as {
    readonly subscription_id: string;
    readonly stream_name: string;
    readonly presence?: boolean;
    readonly group_id: string;
    readonly id: string | null;
    readonly user: string | null;
    readonly context: unknown;
    readonly connection_id: string;
  };
  return {
    subscriptionId: fields.subscription_id,
    streamName:
      (fields.presence === true ? presenceStreamOf(fields.stream_name) : undefined) ??
      fields.stream_name,
    groupId: fields.group_id,
    itemId: fields.id ?? undefined,
    user: fields.user ?? undefined,
    context: JSON.stringify(fields.context),
    connection: { connectionId: fields.connection_id },
  };
}

/** Payload of write gates. Absent parts are left out. */
export function writePayload(action: WriteAction, write: GatedWrite, caller: GateCaller): string {
  const { data, ops, mutations, type } = write;
  return (
    `{"action":"${action}",${placeOf(write, write.itemId)}` +
    (data === undefined ? "" : `,"data":${data.text}`) +
    (ops === undefined ? "" : `,"ops":${opsText(ops)}`) +
    (mutations === undefined ? "" : `,"mutations":[${mutations.map(mutationText).join(",")}]`) +
    (action === "send" ? `,"type":${JSON.stringify(type || "message")}` : "") +
    `,${callerOf(caller)}}`
  );
}

function mutationText(mutation: GatedMutation): string {
  const content =
    mutation.kind === "set" && mutation.data !== undefined
      ? `,"data":${mutation.data.text}`
      : mutation.kind === "update"
        ? `,"ops":${opsText(mutation.ops)}`
        : "";
  return `{"kind":"${mutation.kind}","id":${JSON.stringify(mutation.itemId)}${content}}`;
}

function fieldsOf(joined: JoinedSubscription): string {
  const { subscriptionId, itemId } = joined;
  return (
    `"subscription_id":${JSON.stringify(subscriptionId)},` +
    `${placeOf(joined, itemId)},${callerOf(joined)}`
  );
}

/** Of the presence of a stream, the place is the stream itself. */
function placeOf({ streamName, groupId }: GroupKey, itemId: string | undefined): string {
  const base = presenceBaseOf(streamName);
  return (
    `"stream_name":${JSON.stringify(base ?? streamName)},` +
    (base === undefined ? "" : '"presence":true,') +
    `"group_id":${JSON.stringify(groupId)},` +
    `"id":${JSON.stringify(itemId ?? null)}`
  );
}

function callerOf({ user, context, connection }: GateCaller): string {
  return (
    `"user":${JSON.stringify(user ?? null)},"context":${context},` +
    `"connection_id":${JSON.stringify(connection.connectionId)}`
  );
}
