import type { IncomingHttpHeaders } from "node:http2";

/** The host of a request: a name or an address, and an optional port (RFC 3986, section 3.2). */
const HOST = /^(?:(?:[\w.~-]|%[\da-f]{2})+|\[[\da-f:.]+\])(?::(\d{1,5}))?$/i;
const MAX_PORT = 65_535;
const ABSOLUTE_TARGET = /^(?:http|ws)s?:\/\/([^/?#]*)([^]*)$/i;

/** What is wrong with the host of a request, as a sentence; undefined when it is valid. */
export function hostProblem(headers: IncomingHttpHeaders): string | undefined {
  const { ":authority": authority, host } = headers;
  for (const [name, value] of [
    [":authority", authority],
    ["host", host],
  ] as const) {
    if (value !== undefined && !isHost(value))
      return `${name} is malformed; it may be one name or address, with a port or without.`;
  }
  if (authority !== undefined && host !== undefined && authority !== host)
    return "host contradicts :authority; it may be absent or the same.";
  return undefined;
}

function isHost(value: string): boolean {
  const match = HOST.exec(value);
  return match !== null && Number(match[1] ?? 0) <= MAX_PORT;
}

/**
 * Splits a request target in absolute form (`http://HOST/PATH`); undefined when it has another
 * form.
 */
export function absoluteTarget(
  target: string,
): { readonly host: string; readonly path: string } | undefined {
  if (target.startsWith("/")) return undefined;
  const [, host, rest = ""] = ABSOLUTE_TARGET.exec(target) ?? [];
  if (host === undefined) return undefined;
  const path = rest.split("#", 1)[0] ?? "";
  return { host, path: path.startsWith("/") ? path : `/${path}` };
}
