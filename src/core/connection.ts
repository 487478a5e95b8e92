/** An open connection of a client. */
export interface Connected {
  /** Id of the connection, made by the service. */
  readonly connectionId: string;
  /**
   * Whether its session goes on at another process: a write that has not been handed to the store
   * must not take effect any more. Absent: no.
   */
  readonly isReplaced?: boolean;
}
