import { setTimeout as delay } from "node:timers/promises";
import { onTestFinished } from "vitest";
import { type Server, createServer } from "millrace/server";
import type { Json, Position, StreamService } from "millrace";
import { compareUtf8 } from "../../../src/core/text.ts";
import type { CopiedRedis } from "./old-copies.ts";

/** The outcome of replacing the data of a running fleet by an older copy. */
export interface CopiedFleetResult {
  /** Positions that were assigned to two different changes, as sentences. */
  readonly reusedPositions: readonly string[];
  /** Subscribers that did not reach the final state, or that saw a gap, as sentences. */
  readonly diverged: readonly string[];
  /** Acknowledged writes. */
  readonly writes: number;
  /** Changes that subscribers received. */
  readonly changes: number;
  /** Snapshots that subscribers received in an epoch other than their first. */
  readonly freshSnapshots: number;
}

const BUSY = ["busy-0", "busy-1", "busy-2"];
/** Not written after the copy is restored. */
const QUIET = "quiet";
const PAUSE_MS = 5;
/** Longest time until subscribers have the stored state. */
const SETTLE_MS = 10_000;

const groupOf = (groupId: string) => ({ streamName: "copied", groupId });

/** All observations: the change at each position of a group. */
class Journal {
  readonly reusedPositions: string[] = [];
  readonly #changes = new Map<string, string>();

  note(groupId: string, { epoch, revision }: Position, itemId: string, data: Json): void {
    const position = `${groupId} ${epoch} ${revision}`;
    const change = JSON.stringify([itemId, data]);
    const known = this.#changes.get(position);
    if (known === undefined) this.#changes.set(position, change);
    else if (known !== change) this.reusedPositions.push(`${position}: ${known} and ${change}`);
  }
}

/** Follows a group like a client that keeps its state. */
class Follower {
  readonly items = new Map<string, Json>();
  readonly problems: string[] = [];
  changes = 0;
  freshSnapshots = 0;
  #position: Position | undefined;
  #isClosed = false;
  readonly #service: StreamService;
  readonly #groupId: string;
  readonly #journal: Journal;

  constructor(service: StreamService, groupId: string, journal: Journal) {
    this.#service = service;
    this.#groupId = groupId;
    this.#journal = journal;
  }

  get position(): Position | undefined {
    return this.#position;
  }

  /** Follows until `close`, and resumes after each failure. */
  async run(): Promise<void> {
    while (!this.#isClosed) {
      try {
        await this.#follow();
      } catch {
        await delay(20);
      }
    }
  }

  close(): void {
    this.#isClosed = true;
  }

  async #follow(): Promise<void> {
    const resumeFrom = this.#position;
    const frames = await this.#service.subscribe({
      ...groupOf(this.#groupId),
      ...(resumeFrom !== undefined && { resumeFrom }),
    });
    for await (const frame of frames) {
      if (this.#isClosed) return;
      if (frame.kind === "sync") {
        if (frame.first) {
          if (this.#position !== undefined && this.#position.epoch !== frame.position.epoch)
            this.freshSnapshots++;
          this.items.clear();
        }
        for (const { itemId, data } of frame.items) this.items.set(itemId, data);
        this.#position = frame.position;
      } else if (frame.kind === "change") {
        const { itemId, data, position } = frame;
        this.changes++;
        this.#journal.note(this.#groupId, position, itemId, data);
        const before = this.#position;
        const follows =
          position.revision === (before?.revision ?? 0) + 1 &&
          (before === undefined || before.epoch === "" || before.epoch === position.epoch);
        if (!follows)
          this.problems.push(
            `${JSON.stringify(position)} came after ${JSON.stringify(before)} in ${this.#groupId}`,
          );
        this.items.set(itemId, data);
        this.#position = position;
      }
    }
  }
}

/**
 * Runs three servers, each with a writer and a subscriber of each group. The copy is taken and
 * restored while all of them continue.
 *
 * @param writingMs Duration of the writes before, between and after.
 */
export async function copyUnderFleet(
  redis: CopiedRedis,
  writingMs: number,
): Promise<CopiedFleetResult> {
  const servers = await Promise.all(
    [0, 1, 2].map(async (): Promise<Server> => {
      const server = await createServer({
        port: 0,
        store: { kind: "redis", url: redis.url },
        heartbeatIntervalMs: 500,
        settleTimeoutMs: 100,
      });
      onTestFinished(() => server.close());
      return server;
    }),
  );
  const services = servers.map(({ service }) => service);
  const journal = new Journal();
  let writes = 0;
  let isOver = false;
  const write = async (service: StreamService, groupId: string, itemId: string, data: string) => {
    const { position } = await service.set({ ...groupOf(groupId), itemId, data });
    writes++;
    journal.note(groupId, position, itemId, data);
  };
  const followers = services.flatMap((service) =>
    [...BUSY, QUIET].map((groupId) => ({ groupId, one: new Follower(service, groupId, journal) })),
  );
  const following = followers.map(async ({ one }) => one.run());
  const [first] = services as [StreamService];
  for (let i = 0; i < 10; i++) await write(first, QUIET, "a", `before-${i}`);
  const writing = services.map(async (service, w) => {
    for (let i = 0; !isOver; i++) {
      const groupId = BUSY[i % BUSY.length] ?? "";
      // A failed write may have taken effect; then the followers record it.
      await write(service, groupId, `i${i % 5}`, `${w}-${i}`).catch(() => {});
      // The last server writes rarely, so it knows of few commits.
      await delay(w === 2 ? PAUSE_MS * 20 : PAUSE_MS);
    }
  });
  await delay(writingMs);
  await redis.backUp();
  for (let i = 0; i < 10; i++) await write(first, QUIET, "a", `after-${i}`);
  await delay(writingMs);
  await redis.restore();
  await delay(writingMs);
  isOver = true;
  await Promise.all(writing);
  const diverged = await settled(first, followers);
  for (const { one } of followers) one.close();
  // Closed followers end at the next event of their group.
  for (const groupId of [...BUSY, QUIET]) await write(first, groupId, "end", "end");
  await Promise.all(following);
  return {
    reusedPositions: journal.reusedPositions,
    diverged: [...diverged, ...followers.flatMap(({ one }) => one.problems)],
    writes,
    changes: followers.reduce((sum, { one }) => sum + one.changes, 0),
    freshSnapshots: followers.reduce((sum, { one }) => sum + one.freshSnapshots, 0),
  };
}

/** Waits until all followers have the stored state. @returns those that do not reach it. */
async function settled(
  service: StreamService,
  followers: readonly { readonly groupId: string; readonly one: Follower }[],
): Promise<string[]> {
  const deadlineMs = performance.now() + SETTLE_MS;
  for (;;) {
    const behind: string[] = [];
    for (const { groupId, one } of followers) {
      const { items, position } = await service.list(groupOf(groupId));
      const stored = textOf(items.map(({ itemId, data }) => [itemId, data]));
      const seen = textOf(one.items);
      const isAt = JSON.stringify(one.position) === JSON.stringify(position);
      if (stored !== seen || !isAt)
        behind.push(
          `${groupId}: ${seen} at ${JSON.stringify(one.position)}, and ${stored} at ${JSON.stringify(position)} is stored`,
        );
    }
    if (behind.length === 0 || performance.now() > deadlineMs) return behind;
    await delay(50);
  }
}

/** Items as one text, sorted by id. */
function textOf(items: Iterable<readonly [string, Json]>): string {
  return Array.from(items, (item) => JSON.stringify(item))
    .toSorted(compareUtf8)
    .join(" ");
}
