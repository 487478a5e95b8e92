import type { AuthOptions } from "./auth-options.ts";
import { isLoopbackName } from "./caller-facts.ts";

/** The options of a server that decide whether callers have to authenticate. */
interface AuthenticationOptions {
  readonly apiTokens?: readonly string[] | undefined;
  readonly apiTokenFile?: string | undefined;
  readonly auth?: AuthOptions | undefined;
  readonly insecure?: boolean | undefined;
}

/**
 * Why a server may not listen on a host with these options, as a sentence; undefined when it may.
 *
 * @param shownHost The host as the sentence shows it.
 */
export function insecurityOf(
  host: string,
  {
    apiTokens = [],
    apiTokenFile,
    auth: { keys = [], jwt = [] } = {},
    insecure = false,
  }: AuthenticationOptions,
  shownHost = host,
): string | undefined {
  const hasTokens = apiTokens.length > 0 || apiTokenFile !== undefined;
  const authenticates = hasTokens || keys.length > 0 || jwt.length > 0;
  if (isLoopbackName(host) || authenticates || insecure) return undefined;
  return (
    `host is ${shownHost}, which other machines can reach, and no caller would have to authenticate: ` +
    "configure api_tokens, api_token_file, auth.keys or auth.jwt, or listen on 127.0.0.1, or set insecure: true if you mean it."
  );
}
