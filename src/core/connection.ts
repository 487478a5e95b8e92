/** Somebody who is connected. */
export interface Connected {
  /** Id of the connection, made by the service. */
  readonly connectionId: string;
}
