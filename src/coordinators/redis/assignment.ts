import { createHash } from "node:crypto";

/**
 * Assigns each partition to the member with the highest weight for it among those below their share
 * (rendezvous hashing with bounded loads). Member counts differ by at most one, and few partitions
 * move when a member joins or leaves.
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
  /** How many members may have one more than their share. */
  let extras = partitions % members.length;
  for (let partition = 0; partition < partitions; partition++) {
    let best = "";
    let chosen: string | undefined;
    for (const [member, count] of counts) {
      if (count > share || (count === share && extras === 0)) continue;
      const weight = weightOf(member, partition);
      if (chosen === undefined || weight > best || (weight === best && member > chosen)) {
        best = weight;
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

function weightOf(member: string, partition: number): string {
  return createHash("sha1").update(`${partition} ${member}`).digest("hex");
}
