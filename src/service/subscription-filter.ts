import { checkName } from "../core/names.ts";
import { presenceBaseOf } from "../core/presence-stream.ts";
import type { Admitted } from "../triggers/admission.ts";
import { requestInvalid } from "./checks.ts";

/** Selects subscriptions: those that match every field that is present. */
export interface SubscriptionFilter {
  /** Subscriptions to the presence of the stream, which need the same rights, match too. */
  readonly streamName?: string | undefined;
  readonly groupId?: string | undefined;
  /** Id of the user. */
  readonly user?: string | undefined;
  readonly connectionId?: string | undefined;
}

const FILTER_FIELDS = {
  streamName: "stream_name",
  groupId: "group_id",
  user: "user",
  connectionId: "connection_id",
} as const;

/** Checks a filter. @returns Its fields that are present. @throws StreamError REQUEST_INVALID */
export function checkFilter(filter: SubscriptionFilter, minFields = 0): SubscriptionFilter {
  const fields = (Object.keys(FILTER_FIELDS) as (keyof typeof FILTER_FIELDS)[]).filter(
    (key) => filter[key] !== undefined,
  );
  if (fields.length < minFields) {
    throw requestInvalid(
      "filter",
      `filter has no field; it may have at least one of ${Object.values(FILTER_FIELDS).join(", ")}.`,
    );
  }
  return Object.fromEntries(
    fields.map((key) => [key, checkName(`filter.${FILTER_FIELDS[key]}`, filter[key])]),
  );
}

/** Whether a subscription matches a filter. */
export function matcherOf({ streamName, groupId, user, connectionId }: SubscriptionFilter) {
  return (joined: Admitted["joined"], ofUser: string | undefined): boolean =>
    (streamName === undefined ||
      joined.streamName === streamName ||
      presenceBaseOf(joined.streamName) === streamName) &&
    (groupId === undefined || joined.groupId === groupId) &&
    (user === undefined || ofUser === user) &&
    (connectionId === undefined || joined.connection.connectionId === connectionId);
}
