import type { Caller } from "../rights/caller.ts";
import type { Greeted } from "./sessions.ts";
import { textFrame } from "./text-frame.ts";

/*
 * The frames that concern the socket rather than a group. Only sockets whose client has said hello
 * get them.
 */

/** What a client gets to know by its hello. */
interface Welcome {
  /** Id of the connection, as gates and triggers get it. */
  readonly connectionId: string;
  /** Secret by which the client can take the session up again: never logged. */
  readonly session: string;
  /** Whether an earlier session goes on. */
  readonly resumed: boolean;
  /** When the credentials of the caller expire, Unix milliseconds; null: never. */
  readonly expiresAt: number | null;
  /** Interval of pings, in milliseconds. */
  readonly pingInterval: number;
  /** Unix milliseconds. */
  readonly serverTime: number;
}

/** The response to a hello. */
export function welcomeFrame(
  { session: { connection }, secret, resumed }: Greeted,
  { expiresAtMs }: Caller,
  pingInterval: number,
): Buffer {
  const welcome: Welcome = {
    connectionId: connection.connectionId,
    session: secret,
    resumed,
    expiresAt: expiresAtMs ?? null,
    pingInterval,
    serverTime: Date.now(),
  };
  return notice("welcome", welcome);
}

/** The credentials of the caller have expired: nothing is delivered until it renews them. */
export function expiredFrame(): Buffer {
  return textFrame(['{"type":"expired"}']);
}

/**
 * The response to a token that was accepted.
 *
 * @param expiresAtMs When the renewed credentials expire, Unix milliseconds; undefined: never.
 */
export function tokenFrame(expiresAtMs: number | undefined): Buffer {
  return notice("token", { expiresAt: expiresAtMs ?? null });
}

function notice(type: string, data: object): Buffer {
  return textFrame([JSON.stringify({ type, data })]);
}
