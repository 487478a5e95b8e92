/**
 * Where the figures go. The group is the machine's role, not its name: nobody who watches has to
 * know what the machine is called.
 */
export const STREAM = "dashboard-metrics";

/** Group of the figures. */
export const GROUP = "this-machine";
