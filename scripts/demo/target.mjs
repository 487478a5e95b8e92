/**
 * The target of the figures. The group names the role of the machine, so that viewers need not know
 * its name.
 */
export const STREAM = "dashboard-metrics";

/** Group of the figures. */
export const GROUP = "this-machine";
