import { createHash } from "node:crypto";

/**
 * Which member each partition is for: the one that draws the highest number for it among those that
 * have not got their share (rendezvous hashing with bounded loads). So all have as many, give or take
 * one, and few partitions move when somebody comes or goes.
 *
 * @returns partition -> member; empty when there is no member.
 */
export function assignPartitions(
  members: readonly string[],
  partitions: number,
): ReadonlyMap<number, string> {
  const assigned = new Map<number, string>();
  const counts = new Map(members.map((member) => [member, 0]));
  const share = Math.floor(partitions / members.length);
  /** How many may have one more. */
  let extras = partitions % members.length;
  for (let partition = 0; partition < partitions; partition++) {
    let best = "";
    let chosen: string | undefined;
    for (const [member, count] of counts) {
      if (count > share || (count === share && extras === 0)) continue;
      const draw = drawOf(member, partition);
      if (chosen === undefined || draw > best || (draw === best && member > chosen)) {
        best = draw;
        chosen = member;
      }
    }
    if (chosen === undefined) break;
    const count = counts.get(chosen) ?? 0;
    if (count === share) extras--;
    counts.set(chosen, count + 1);
    assigned.set(partition, chosen);
  }
  return assigned;
}

function drawOf(member: string, partition: number): string {
  return createHash("sha1").update(`${partition} ${member}`).digest("hex");
}
