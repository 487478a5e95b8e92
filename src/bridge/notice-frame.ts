import { randomBytes } from "node:crypto";
import type { Caller } from "../rights/caller.ts";
import { textFrame } from "./text-frame.ts";

/*
 * The frames that concern the socket rather than a group. Only sockets whose client has said hello
 * get them.
 */

/** Bytes of randomness of a session: 128 bits. */
const SESSION_BYTES = 16;

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

/** The welcome of a caller, with a new session. */
export function welcomeTo({ connection, expiresAtMs }: Caller, pingIntervalMs: number): Welcome {
  return {
    connectionId: connection?.connectionId ?? "",
    session: randomBytes(SESSION_BYTES).toString("base64url"),
    resumed: false,
    expiresAt: expiresAtMs ?? null,
    pingInterval: pingIntervalMs,
    serverTime: Date.now(),
  };
}

/** The response to a hello. */
export function welcomeFrame(welcome: Welcome): Buffer {
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
