/** The actions that rules allow. */
export const ACTIONS = [
  // To follow a group or an item.
  "subscribe",
  // Get, List and History; of a whole stream ListGroups; of everything ListAll.
  "read",
  // Set, Update, Delete and Batch.
  "write",
  // Send.
  "send",
  // To announce oneself in a group.
  "presence",
  // To be a worker. It implies all other actions, because workers can provide gates.
  "work",
  // To observe and end the subscriptions of others.
  "admin",
] as const;

/** One of {@link ACTIONS}. */
export type Action = (typeof ACTIONS)[number];

/**
 * The resource of an action.
 *
 * An absent part stands for all of them: List and a Send without an item concern the whole group,
 * ListGroups the whole stream, and ListAll everything.
 */
export interface Resource {
  readonly stream?: string | undefined;
  readonly group?: string | undefined;
  readonly item?: string | undefined;
}
