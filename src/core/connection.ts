/** An open connection of a client. */
export interface Connected {
  /** Id of the connection, made by the service. */
  readonly connectionId: string;
}
