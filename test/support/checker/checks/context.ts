import type { Claim } from "../claims.ts";
import type { GroupModel } from "../model.ts";
import type { Settings } from "../options.ts";
import type { Report } from "../violation.ts";

/** What a check gets: one group, with its ledgers filled. It says what is wrong and changes nothing. */
export interface CheckContext {
  readonly group: GroupModel;
  /** All statements about the state of the group. */
  readonly claims: readonly Claim[];
  readonly settings: Settings;
  readonly report: Report;
}
