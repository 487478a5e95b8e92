import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { BridgeOptions } from "../bridge/bridge.ts";
import { protocolToken } from "../bridge/token-protocol.ts";
import type { Connected } from "../core/connection.ts";
import { StreamError } from "../core/errors.ts";
import type { Caller } from "../rights/caller.ts";
import { authRequestOf } from "./auth-request.ts";
import { factsOf, originOf } from "./connections.ts";
import type { Permits } from "./permits.ts";

/**
 * Identifies the callers of the WebSocket bridge. A token sent as a sub-protocol counts as one of
 * the `authorization` header, which browsers cannot send; `auth_function` receives it there.
 */
export function socketIdentification(
  permits: Permits,
): Pick<BridgeOptions, "identify" | "renew" | "continued"> {
  /** The renewals of the callers whose credentials expire, by their connections. */
  const renewals = new WeakMap<Connected, (token: string, caller: Caller) => Promise<Caller>>();
  return {
    async identify(request, connected) {
      const handshake = handshakeOf(request);
      const token = protocolToken(request.headers);
      const found = await (token === undefined
        ? handshake.callerOf(permits, handshake.facts.authorization, {}, connected)
        : handshake.callerOf(permits, `Bearer ${token}`, { authorization: token }, connected));
      // A token may have been verified for an earlier request of the same HTTP connection.
      const caller = found.connection === connected ? found : { ...found, connection: connected };
      if (caller.expiresAtMs !== undefined) {
        renewals.set(connected, (newToken, { kind, connection = connected }) => {
          const { authorization } = handshake.facts;
          const isBearer = /^Bearer /i.test(authorization ?? "");
          return handshake.callerOf(
            permits,
            // A caller on this machine came without credentials, and stays what it is.
            kind === "local" ? authorization : `Bearer ${newToken}`,
            { authorization: isBearer ? `Bearer ${newToken}` : newToken },
            connection,
          );
        });
      }
      return caller;
    },
    async renew(token, caller) {
      const renewal = caller.connection && renewals.get(caller.connection);
      if (renewal === undefined)
        throw new StreamError("AUTH_REFUSED", "The credentials of the caller cannot be renewed.");
      return renewal(token, caller);
    },
    continued(caller, connection) {
      const renewal = caller.connection && renewals.get(caller.connection);
      if (renewal !== undefined) renewals.set(connection, renewal);
      return { ...caller, connection };
    },
  };
}

/** What has to be kept of a handshake: the request itself takes more memory. */
function handshakeOf(request: IncomingMessage) {
  const { headers, url = "", socket } = request;
  const facts = factsOf(request);
  const origin = originOf(request);
  return {
    facts,
    /**
     * The caller of the handshake with these credentials.
     *
     * @param changed Headers that `auth_function` gets instead of those of the handshake.
     */
    callerOf: async (
      permits: Permits,
      authorization: string | undefined,
      changed: IncomingHttpHeaders,
      connected: Connected,
    ): Promise<Caller> =>
      permits.callerOf(
        { ...facts, authorization },
        {
          identity: socket,
          ...origin,
          connected: () => connected,
          auth: () => authRequestOf({ ...headers, ...changed }, url, socket, () => connected),
        },
        "subscribe",
      ),
  };
}
