/**
 * A bounded set whose members have owners. When it is full, a new member replaces the oldest one of
 * the owner that has the most: an owner that fills the set displaces only its own members. Each
 * step takes constant time, however many members and owners there are.
 */
export class FairSet<T extends object> {
  readonly #max: number;
  readonly #ownerOf = new Map<T, string>();
  /** The members of each owner, oldest first. */
  readonly #members = new Map<string, Set<T>>();
  /** Owners, by their number of members. */
  readonly #ownersByCount = new Map<number, Set<string>>();
  #highestCount = 0;

  /** @param max Most members. */
  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#ownerOf.size;
  }

  has(member: T): boolean {
    return this.#ownerOf.has(member);
  }

  /** Adds a member. @returns The member that it displaced. */
  add(owner: string, member: T): T | undefined {
    const displaced = this.size >= this.#max ? this.#oldestOfLargest() : undefined;
    if (displaced !== undefined) this.delete(displaced);
    const members = this.#members.get(owner) ?? new Set<T>();
    this.#members.set(owner, members);
    members.add(member);
    this.#ownerOf.set(member, owner);
    this.#recount(owner, members.size - 1, members.size);
    return displaced;
  }

  /** Removes a member. @returns Whether it was in the set. */
  delete(member: T): boolean {
    const owner = this.#ownerOf.get(member);
    if (owner === undefined) return false;
    this.#ownerOf.delete(member);
    const members = this.#members.get(owner);
    members?.delete(member);
    const count = members?.size ?? 0;
    if (count === 0) this.#members.delete(owner);
    this.#recount(owner, count + 1, count);
    return true;
  }

  #oldestOfLargest(): T | undefined {
    const [owner] = this.#ownersByCount.get(this.#highestCount) ?? [];
    const [oldest] = this.#members.get(owner ?? "") ?? [];
    return oldest;
  }

  #recount(owner: string, before: number, after: number): void {
    const left = this.#ownersByCount.get(before);
    left?.delete(owner);
    if (left?.size === 0) this.#ownersByCount.delete(before);
    if (after > 0) {
      const joined = this.#ownersByCount.get(after) ?? new Set<string>();
      this.#ownersByCount.set(after, joined);
      joined.add(owner);
    }
    // Counts change by one, so the next lower count is the highest when no owner has this one any
    // more.
    if (after > this.#highestCount) this.#highestCount = after;
    else if (!this.#ownersByCount.has(this.#highestCount)) this.#highestCount = after;
  }
}
