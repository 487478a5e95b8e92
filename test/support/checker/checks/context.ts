import type { Claim } from "../claims.ts";
import type { GroupModel } from "../model.ts";
import type { Settings } from "../options.ts";
import type { Report } from "../violation.ts";

/**
 * The input of a check: one group, with its ledgers filled. A check reports, and changes nothing.
 */
export interface CheckContext {
  readonly group: GroupModel;
  /** All claims about the state of the group. */
  readonly claims: readonly Claim[];
  readonly settings: Settings;
  readonly report: Report;
}
