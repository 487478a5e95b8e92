/** What `auth_function` receives about a caller. */
export interface AuthRequest {
  /** All headers of the request, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Path without the query. */
  readonly path: string;
  /** Decoded values of the query, by name. */
  readonly query_params: Readonly<Record<string, readonly string[]>>;
  /** Address and port of the peer, as `ip:port`; empty when there is none. */
  readonly addr: string;
  /** Id of the connection, made by the service: 128 random bits as text. Joins and leaves carry the same. */
  readonly connection_id: string;
}
