import type { AuthRequest } from "../core/auth.ts";
import type { Connected } from "../core/connection.ts";
import type { Caller } from "../rights/caller.ts";

/** A request whose caller is to be identified. */
export interface CallerRequest {
  /** The object that represents its connection; undefined when it is gone. */
  readonly identity: object | undefined;
  readonly connection: () => Connected;
  /** The payload of `auth_function`. */
  readonly auth: () => AuthRequest;
  /** Whether it opens subscriptions: a caller on this machine is authenticated for these only. */
  readonly subscribes: boolean;
  /**
   * Whether it opens what lasts: subscriptions, a socket, a stream of writes, or the session of a
   * worker. The leeway after the end of a token does not apply to these.
   */
  readonly staysOpen: boolean;
}

/** What the credentials of a request show at first sight. */
export interface Finding {
  /** Whether the caller is one of the operator's own programs: a service, or local. */
  readonly isTrusted: boolean;
  /** The caller of everything but subscriptions, if that is certain at first sight. */
  readonly calling?: Caller | undefined;
  /**
   * The caller. A promise where a token has to be verified or `auth_function` is asked.
   *
   * @throws StreamError AUTH_REFUSED, AUTH_EXPIRED, NOT_TRUSTED
   */
  readonly resolve: (request: CallerRequest) => Caller | Promise<Caller>;
}
