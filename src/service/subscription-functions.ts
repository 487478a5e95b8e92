import { isRecord } from "../core/is-record.ts";
import type { Provider } from "../functions/provider.ts";
import type { Administration, OpenSubscriptionInfo } from "./administration.ts";
import type { SubscriptionFilter } from "./subscription-filter.ts";
import { administrationFunctions, numberField } from "./administration-functions.ts";
import { type Payload, malformedPayload, textField } from "./function-payload.ts";

/**
 * The functions `millrace::subscriptions::list`, `::end` and `::recheck`: the calls of the
 * AdminService, with payloads of the same fields in snake case. Errors of the service have the code
 * `SUBSCRIPTIONS_ERROR`, and a message that begins with the reason.
 */
export function subscriptionFunctions(
  administration: Administration,
): ReadonlyMap<string, Provider> {
  return administrationFunctions("SUBSCRIPTIONS_ERROR", {
    "millrace::subscriptions::list": async (payload) => {
      const page = await administration.listSubscriptions({
        filter: filterOf(payload),
        pageSize: numberField(payload, "page_size") ?? 0,
        pageToken: textField(payload, "page_token") ?? "",
      });
      return { subscriptions: page.entries.map(rowOf), next_page_token: page.nextPageToken };
    },
    "millrace::subscriptions::end": (payload) =>
      administration.endSubscriptions({
        filter: filterOf(payload),
        reason: textField(payload, "reason"),
      }),
    "millrace::subscriptions::recheck": (payload) =>
      administration.recheckSubscriptions({ filter: filterOf(payload) }),
  });
}

function filterOf(payload: Payload): SubscriptionFilter {
  const filter = payload["filter"] ?? {};
  if (!isRecord(filter))
    throw malformedPayload(
      "filter is not an object; it may have stream_name, group_id, user and connection_id.",
    );
  return {
    streamName: textField(filter, "stream_name"),
    groupId: textField(filter, "group_id"),
    user: textField(filter, "user"),
    connectionId: textField(filter, "connection_id"),
  };
}

function rowOf(info: OpenSubscriptionInfo): object {
  return {
    subscription_id: info.subscriptionId,
    connection_id: info.connectionId,
    user: info.user ?? null,
    stream_name: info.streamName,
    group_id: info.groupId,
    id: info.itemId ?? null,
    address: info.address,
    door: info.door,
    since: info.sinceMs,
    position: info.position ?? null,
  };
}
