import { randomUUID } from "node:crypto";
import { RedisFailure } from "../../redis/redis-failure.ts";
import type { RedisLink } from "../../redis/redis-link.ts";
import type { ServerFacts } from "../../redis/server-facts.ts";
import { textOf } from "./records.ts";
import { VERIFY } from "./scripts.ts";
import type { WriterContext } from "./writer-context.ts";

/** What lets a writer in, as long as the connection lasts. */
export interface Admission {
  readonly link: RedisLink;
  readonly generation: number;
  /** Under which the fleet knows this process. */
  readonly name: string;
  readonly nonce: string;
  readonly runId: string;
  readonly isDurable: boolean;
  /** When it was given, by performance.now(). */
  readonly atMs: number;
  /** What the fleet had agreed on by then. @see WriterContext.agreed */
  readonly agreed: number;
}

/** What the gate of a partition works with. */
type GateContext = Pick<WriterContext, "keys" | "clock" | "ready" | "agreed" | "onLoss">;

/**
 * Lets this process write a partition.
 *
 * Before the first batch over a connection it proves itself (verify.lua): its nonce shuts out whatever
 * was sent over an earlier connection and was not run yet, and the server says whether it may have
 * lost what it had acknowledged.
 */
export class PartitionGate {
  readonly #context: GateContext;
  readonly #partition: number;
  #admission: Admission | undefined;
  /** Most commits that the partition was known to have, in this lineage. */
  #commits = 0;
  #lineage = "";

  constructor(context: GateContext, partition: number) {
    this.#context = context;
    this.#partition = partition;
  }

  /** Under which name it was let in last. */
  get name(): string | undefined {
    return this.#admission?.name;
  }

  /** What this process knows of the partition, as arguments of a script: the data must not have less. */
  get known(): readonly [commits: string, lineage: string] {
    return [String(this.#commits), this.#lineage];
  }

  /** What was known to be there: if it is there no more, it is lost. */
  noteCommits(commits: number, lineage: string): void {
    if (lineage === this.#lineage) this.#commits = Math.max(this.#commits, commits);
    // A reply that was overtaken by one of a later lineage.
    else if (numberOf(lineage) < numberOf(this.#lineage)) return;
    else this.#commits = commits;
    this.#lineage = lineage;
  }

  /** The server did not know it: it has to prove itself anew. */
  forget(): void {
    this.#admission = undefined;
  }

  /** What lets us in at this server. */
  async admit(link: RedisLink): Promise<Admission> {
    const { facts, generation } = link;
    if (facts === undefined) throw new RedisFailure("unsent", "There is no connection.");
    const isDurable = isDurableBy(facts);
    const present = this.#admission;
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
    const admission = { link, generation, name, nonce, runId, isDurable, atMs, agreed: known };
    this.#admission = admission;
    return admission;
  }

  /** Looks whether the server may have lost something, without writing anything. */
  async look(link: RedisLink, facts = link.facts): Promise<void> {
    if (facts === undefined) throw new RedisFailure("unsent", "There is no connection.");
    await this.#verify(link, facts, "", "");
  }

  /** @returns false when the writer was shut out. */
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
    // It may be done again: the same answer twice is no loss.
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
