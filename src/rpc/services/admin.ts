import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AdminService,
  type DeleteTriggerRequest,
  DeleteTriggerResponseSchema,
  type EndSubscriptionsRequest,
  EndSubscriptionsResponseSchema,
  type ListConnectionsRequest,
  ListConnectionsResponseSchema,
  type ListDeadLettersRequest,
  ListDeadLettersResponseSchema,
  type ListSubscriptionsRequest,
  ListSubscriptionsResponseSchema,
  type ListTriggersRequest,
  ListTriggersResponseSchema,
  type OpenConnectionSchema,
  type OpenSubscriptionSchema,
  type RecheckSubscriptionsRequest,
  RecheckSubscriptionsResponseSchema,
  type ReplayDeadLetterRequest,
  ReplayDeadLetterResponseSchema,
} from "../../../gen/millrace/v1/admin_service_pb.ts";
import type {
  Administration,
  OpenConnectionInfo,
  OpenSubscriptionInfo,
} from "../../service/administration.ts";
import type { Decoded } from "../../wire/request/decoded.ts";
import { letterOf, triggerOf } from "./admin-triggers.ts";
import { toConnectError } from "../connect-error.ts";
import { preparedCall } from "../framework/prepared-call.ts";

/** Registers `millrace.v1.AdminService`. Its callers have the right for `admin`. */
export function adminRoutes(router: ConnectRouter, administration: Administration): void {
  router.service(AdminService, {
    listConnections: served(async (request: Decoded<ListConnectionsRequest>) => {
      const { entries, nextPageToken } = await administration.listConnections(request);
      const connections = entries.map(connectionOf);
      return create(ListConnectionsResponseSchema, { connections, nextPageToken });
    }),
    listSubscriptions: served(async (request: Decoded<ListSubscriptionsRequest>) => {
      const { entries, nextPageToken } = await administration.listSubscriptions(request);
      const subscriptions = entries.map(subscriptionOf);
      return create(ListSubscriptionsResponseSchema, { subscriptions, nextPageToken });
    }),
    endSubscriptions: served(async (request: Decoded<EndSubscriptionsRequest>) =>
      create(EndSubscriptionsResponseSchema, await administration.endSubscriptions(request)),
    ),
    recheckSubscriptions: served(async (request: Decoded<RecheckSubscriptionsRequest>) =>
      create(
        RecheckSubscriptionsResponseSchema,
        await administration.recheckSubscriptions(request),
      ),
    ),
    listTriggers: served(async (request: Decoded<ListTriggersRequest>) => {
      const { triggers, nextPageToken } = await administration.triggers.listTriggers(request);
      return create(ListTriggersResponseSchema, {
        triggers: triggers.map(triggerOf),
        nextPageToken,
      });
    }),
    deleteTrigger: served(async (request: Decoded<DeleteTriggerRequest>) =>
      create(DeleteTriggerResponseSchema, await administration.triggers.deleteTrigger(request)),
    ),
    listDeadLetters: served(async (request: Decoded<ListDeadLettersRequest>) => {
      const page = await administration.triggers.listDeadLetters(request);
      const deadLetters = page.deadLetters.map(letterOf);
      return create(ListDeadLettersResponseSchema, { ...page, deadLetters });
    }),
    replayDeadLetter: served(async (request: Decoded<ReplayDeadLetterRequest>) => {
      const { functionId, deadLetterId: id } = request;
      const { replayed, error } = await administration.triggers.replayDeadLetter({
        functionId,
        id,
      });
      return create(ReplayDeadLetterResponseSchema, { replayed, ...error });
    }),
  });
}

/** Serves the prepared message of a call. */
function served<Request, Response>(run: (request: Request) => Promise<Response>) {
  return async (_request: unknown, context: HandlerContext): Promise<Response> => {
    const { refusal, message } = context.values.get(preparedCall);
    try {
      if (refusal !== undefined) throw refusal;
      return await run(message as Request);
    } catch (error) {
      throw toConnectError(error);
    }
  };
}

function subscriptionOf(
  info: OpenSubscriptionInfo,
): MessageInitShape<typeof OpenSubscriptionSchema> {
  const { user = "", itemId, sinceMs, position, ...others } = info;
  return {
    ...others,
    user,
    since: timestampFromMs(sinceMs),
    ...(itemId !== undefined && { itemId }),
    ...(position !== undefined && {
      position: { epoch: position.epoch, revision: BigInt(position.revision) },
    }),
  };
}

function connectionOf({
  user = "",
  sinceMs,
  ...others
}: OpenConnectionInfo): MessageInitShape<typeof OpenConnectionSchema> {
  return { ...others, user, since: timestampFromMs(sinceMs) };
}
