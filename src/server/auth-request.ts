import type { IncomingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import type { AuthRequest } from "../core/auth.ts";
import type { Connected } from "../core/connection.ts";

/**
 * Describes an HTTP request of either version to `auth_function`: all headers and the path as
 * received, and the decoded query.
 *
 * @param url Path and query.
 * @param connected Returns the connection. Called only when its id is read.
 */
export function authRequestOf(
  headers: IncomingHttpHeaders,
  url: string,
  socket: Pick<Socket, "remoteAddress" | "remotePort"> | undefined,
  connected: () => Connected,
): AuthRequest {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":")) continue;
    plain[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  const authority = headers[":authority"];
  if (authority !== undefined) plain["host"] ??= authority;
  const queryAt = url.indexOf("?");
  return {
    headers: plain,
    path: queryAt < 0 ? url : url.slice(0, queryAt),
    query_params: queryAt < 0 ? {} : queryOf(url.slice(queryAt + 1)),
    addr: addressOf(socket),
    get connection_id() {
      return connected().connectionId;
    },
  };
}

function queryOf(query: string): Record<string, readonly string[]> {
  const lists = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(query)) {
    const list = lists.get(name);
    if (list === undefined) lists.set(name, [value]);
    else list.push(value);
  }
  return Object.fromEntries(lists);
}

function addressOf(socket: Pick<Socket, "remoteAddress" | "remotePort"> | undefined): string {
  const { remoteAddress, remotePort } = socket ?? {};
  if (remoteAddress === undefined) return "";
  const plain = remoteAddress.replace(/^::ffff:(?=\d+\.)/i, "");
  return `${plain.includes(":") ? `[${plain}]` : plain}:${remotePort ?? 0}`;
}
