import { randomUUID } from "node:crypto";
import { RedisFailure } from "../../redis/redis-failure.ts";
import type { RedisLink } from "../../redis/redis-link.ts";
import type { ServerFacts } from "../../redis/server-facts.ts";
import { textOf } from "./encoding.ts";
import { VERIFY } from "./scripts.ts";
import type { WriterContext } from "./writer-context.ts";

/** The registration of a writer, valid for one connection. */
export interface WriterSession {
  readonly link: RedisLink;
  readonly generation: number;
  /** Name of this process in the fleet. */
  readonly name: string;
  readonly nonce: string;
  readonly runId: string;
  readonly isDurable: boolean;
  /** When it was granted, by performance.now(). */
  readonly atMs: number;
  /** The fleet's agreed state at that time. @see WriterContext.agreed */
  readonly agreed: number;
}

/** Dependencies of the lease. */
type LeaseContext = Pick<WriterContext, "keys" | "clock" | "ready" | "agreed" | "onLoss">;

/**
 * Registers this process as a writer of a partition.
 *
 * Before the first batch over a connection it verifies itself (verify.lua): its new nonce fences
 * commands that were sent over an earlier connection and have not run yet, and the server reports
 * whether it may have lost acknowledged writes.
 */
export class WriterLease {
  readonly #context: LeaseContext;
  readonly #partition: number;
  #session: WriterSession | undefined;
  /** Most commits that the partition was known to have, in this lineage. */
  #commits = 0;
  #lineage = "";

  constructor(context: LeaseContext, partition: number) {
    this.#context = context;
    this.#partition = partition;
  }

  /** Name of its last registration. */
  get name(): string | undefined {
    return this.#session?.name;
  }

  /**
   * The commits that this process knows of, as arguments of a script: the data must not have fewer.
   */
  get known(): readonly [commits: string, lineage: string] {
    return [String(this.#commits), this.#lineage];
  }

  /**
   * Notes commits that the data has: if they are missing later, they were lost. Commits, reads and
   * announcements all report them, since no position that this process has seen or delivered may get another
   * meaning.
   */
  noteCommits(commits: number, lineage: string): void {
    if (lineage === this.#lineage) this.#commits = Math.max(this.#commits, commits);
    // Otherwise the reply was overtaken by one of a later lineage.
    else if (numberOf(lineage) < numberOf(this.#lineage)) return;
    else this.#commits = commits;
    this.#lineage = lineage;
  }

  /** Discards the registration that the server does not know: it has to verify itself again. */
  forget(): void {
    this.#session = undefined;
  }

  /** The registration at this server. */
  async acquire(link: RedisLink): Promise<WriterSession> {
    const { facts, generation } = link;
    if (facts === undefined) throw new RedisFailure("unsent", "There is no connection.");
    const isDurable = isDurableBy(facts);
    const present = this.#session;
    if (
      present?.link === link &&
      present.generation === generation &&
      present.isDurable === isDurable
    )
      return present;
    const { ready, agreed } = this.#context;
    const name = await ready();
    const nonce = randomUUID();
    const known = agreed();
    if (!(await this.#verify(link, facts, name, nonce)))
      throw new RedisFailure("busy", "This process was taken for gone, and is about to come back.");
    if (link.generation !== generation)
      throw new RedisFailure("unsent", "The connection was lost meanwhile.");
    const { runId } = facts;
    const atMs = performance.now();
    const session = { link, generation, name, nonce, runId, isDurable, atMs, agreed: known };
    this.#session = session;
    return session;
  }

  /** Checks whether the server may have lost writes, without writing anything. */
  async look(link: RedisLink, facts = link.facts): Promise<void> {
    if (facts === undefined) throw new RedisFailure("unsent", "There is no connection.");
    await this.#verify(link, facts, "", "");
  }

  /** @returns false when the writer was fenced. */
  async #verify(
    link: RedisLink,
    facts: ServerFacts,
    name: string,
    nonce: string,
  ): Promise<boolean> {
    const { keys, clock, onLoss } = this.#context;
    const { state, gone, mark } = keys.ofPartition(this.#partition);
    const flags = [facts.wasPromoted, isDurableBy(facts)].map((flag) => (flag ? "1" : "0"));
    const time = clock === undefined ? "" : String(clock());
    const lineageName = randomUUID().slice(0, 8);
    const args = [facts.runId, ...flags, ...this.known, lineageName, name, nonce, time];
    // It may be repeated: the same reply twice is no loss.
    const reply = (await link.runEarly(VERIFY, [state, gone, mark], args)) as readonly unknown[];
    if (textOf(reply[0]) === "gone") return false;
    this.noteCommits(Number(reply[1]), textOf(reply[2]));
    if (textOf(reply[0]) === "1") onLoss(this.#partition);
    return true;
  }
}

/** Lineages are numbered (see lua/verify.lua). */
function numberOf(lineage: string): number {
  return Number.parseInt(lineage, 10) || 0;
}

function isDurableBy({ appendFsync }: ServerFacts): boolean {
  return appendFsync === "always";
}
