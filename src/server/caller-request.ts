import type { AuthRequest } from "../core/auth.ts";
import type { Connected } from "../core/connection.ts";

/** A request whose caller is to be identified. */
export interface CallerRequest {
  /** The object that represents its connection; undefined when it is gone. */
  readonly identity: object | undefined;
  readonly connection: () => Connected;
  /** The payload of `auth_function`. */
  readonly auth: () => AuthRequest;
  /** Whether it opens subscriptions: a caller on this machine is authenticated for these only. */
  readonly subscribes: boolean;
}
