import type { Position } from "../../src/core/position.ts";
import {
  createRecorder,
  type GetHandle,
  HeldItems,
  type History,
  type ListHandle,
  memorySink,
  type MutationInput,
  type SubscriptionHandle,
  type WriteHandle,
} from "../support/checker/index.ts";
import { createRandom, type Random } from "./random.ts";
import {
  type Bug,
  createSimulatedGroup,
  type ServerSubscription,
  type SimulatedGroup,
} from "./simulated-server.ts";

/** The parameters of a simulated history. */
export interface Scenario {
  readonly seed: number;
  /** Number of steps. Default 400. */
  readonly steps?: number;
  /** Default 2. */
  readonly groups?: number;
  /** Whether each group has a subscriber that is never cut and sees every change. Default true. */
  readonly observed?: boolean;
  /** Whether a crash loses all data. Default false. */
  readonly volatile?: boolean;
  /** Share of resumes that are honoured; the others get a fresh sync. Default 0.8. */
  readonly honoured?: number;
  /**
   * Whether some updates leave no tag, so that their changes are indistinguishable. Default true.
   */
  readonly untagged?: boolean;
  readonly bug?: Bug;
}

interface PendingWrite {
  readonly group: SimulatedGroup;
  readonly mutations: readonly MutationInput[];
  readonly handle: WriteHandle;
  stage: "sent" | "announced" | "done";
  /** Records the outcome; undefined until the server has responded. */
  answer: (() => void) | undefined;
  /** The client gave up, and recorded the outcome as unknown. */
  lost: boolean;
}

interface Reader {
  readonly group: SimulatedGroup;
  readonly item: string | undefined;
  readonly list: ListHandle | undefined;
  readonly get: GetHandle | undefined;
  /** Of a listing: ids already shown; each page is read at a different time. */
  shown: string[] | undefined;
}

interface Follower {
  readonly name: string;
  readonly group: SimulatedGroup;
  readonly groupName: string;
  readonly item: string | undefined;
  readonly steady: boolean;
  /** The items that it holds, if it asks for deltas. */
  readonly held: HeldItems | undefined;
  handle: SubscriptionHandle | undefined;
  server: ServerSubscription | undefined;
  received: Position | undefined;
  /** Whether it has received a part of a sync, with more to come. */
  midSync: boolean;
}

/** Runs a scenario of clients against a small server and returns their records. */
export function simulate(scenario: Scenario): History {
  const {
    seed,
    steps = 400,
    groups: groupCount = 2,
    observed = true,
    volatile = false,
    honoured = 0.8,
    untagged = true,
    bug,
  } = scenario;
  const random = createRandom(seed);
  const sink = memorySink();
  let now = 1000;
  const clock = () => (now += 0.1 + random.below(30) / 10);
  let epochs = 0;
  let serial = 0;
  const recorder = (client: string) => createRecorder({ client, sink, now: clock });

  const names = Array.from({ length: groupCount }, (_, i) => `room/${i}`);
  const groups = new Map(
    names.map((name) => [
      name,
      createSimulatedGroup(
        () => `e${++epochs}`,
        () => now,
        bug,
      ),
    ]),
  );
  const group = (name: string): SimulatedGroup => groups.get(name) as SimulatedGroup;
  const writer = recorder("writer");
  const reader = recorder("reader");
  const writes: PendingWrite[] = [];
  const reads: Reader[] = [];
  const followers = makeFollowers(names, group, observed);
  const recorders = new Map(followers.map((follower) => [follower.name, recorder(follower.name)]));

  const startWrite = (): void => {
    const name = random.pick(names);
    const target = group(name);
    const batch = random.chance(0.25);
    const mutations = Array.from({ length: batch ? 2 + random.below(3) : 1 }, () =>
      someMutation(random, target, `w${++serial}`, untagged),
    );
    const handle = writer.write({ group: name, mutations, batch });
    writes.push({
      group: target,
      mutations,
      handle,
      stage: "sent",
      answer: undefined,
      lost: false,
    });
  };
  const advanceWrite = (write: PendingWrite): void => {
    if (write.stage === "sent" && bug === "event before commit" && write.mutations.length === 1) {
      const [first] = write.mutations;
      if (first !== undefined && first.expectedRevision === undefined)
        write.group.announceEarly(first);
      write.stage = "announced";
    } else if (write.stage !== "done") {
      const { mutations, handle } = write;
      const result = write.group.commit(mutations);
      write.stage = "done";
      write.answer = () =>
        result === undefined ? handle.refused("REVISION_MISMATCH") : handle.acked(result);
    } else {
      if (!write.lost) write.answer?.();
      writes.splice(writes.indexOf(write), 1);
    }
  };
  const loseWrite = (write: PendingWrite): void => {
    if (!write.lost) write.handle.unknown("connection lost");
    write.lost = true;
    // It may have happened, may still happen, or may never happen.
    if (write.stage === "done" || random.chance(0.5)) writes.splice(writes.indexOf(write), 1);
  };
  const startRead = (): void => {
    const name = random.pick(names);
    if (random.chance(0.5)) {
      const item = `i${random.below(6)}`;
      reads.push({
        group: group(name),
        item,
        list: undefined,
        get: reader.get(name, item),
        shown: undefined,
      });
    } else
      reads.push({
        group: group(name),
        item: undefined,
        list: reader.list(name),
        get: undefined,
        shown: [],
      });
  };
  const advanceRead = (read: Reader): void => {
    if (readOn(read, random.chance(0.3) ? 2 : 100)) reads.splice(reads.indexOf(read), 1);
  };
  const attempt = (follower: Follower): void => {
    const { groupName, item, received, held } = follower;
    const resumeFrom = random.chance(0.8) ? received : undefined;
    follower.handle = recorders
      .get(follower.name)
      ?.subscribe({ group: groupName, item, resumeFrom, deltas: held });
    follower.server = follower.group.open(item, resumeFrom, {
      honour: random.chance(honoured),
      deltas: held !== undefined,
    });
    if (resumeFrom === undefined) follower.received = undefined;
    follower.midSync = false;
  };
  const cut = (follower: Follower): void => {
    follower.handle?.end("cut");
    if (follower.server !== undefined) follower.group.close(follower.server);
    follower.handle = follower.server = undefined;
  };
  const deliver = (follower: Follower): boolean => {
    const frame = follower.server?.queue.shift();
    if (frame === undefined || follower.handle === undefined) return false;
    frame.deliver(follower.handle);
    follower.received = frame.position ?? follower.received;
    follower.midSync = frame.partial ?? false;
    return true;
  };
  const comeOrGo = (follower: Follower): void => {
    if (follower.handle === undefined) attempt(follower);
    else if (!follower.steady) cut(follower);
  };
  const heartbeat = (follower: Follower): void => {
    if (follower.server !== undefined) follower.group.heartbeat(follower.server);
  };
  const onSome = <T>(list: readonly T[], act: (entry: T) => void, times = 1): void => {
    for (let i = 0; i < times && list.length > 0; i++) act(random.pick(list));
  };
  const overflow = (follower: Follower): void => {
    // One that sees every change reads fast enough.
    if (follower.steady) return;
    // Nothing but a new sync can follow a part of one.
    const honour = !follower.midSync && random.chance(honoured);
    if (follower.server !== undefined)
      follower.group.reopen(follower.server, follower.received, honour);
  };
  const crash = (): void => {
    for (const follower of followers) cut(follower);
    for (const write of [...writes])
      if (write.stage === "announced") writes.splice(writes.indexOf(write), 1);
    for (const write of [...writes]) loseWrite(write);
    if (volatile) writes.length = 0;
    for (const target of groups.values()) (volatile ? target.forget : target.disconnect)();
    reads.length = 0;
    for (const follower of followers) if (follower.steady) attempt(follower);
  };

  for (const follower of followers) attempt(follower);
  for (let step = 0; step < steps; step++) {
    const follower = random.pick(followers);
    const dice = random.below(100);
    if (dice < 20) startWrite();
    else if (dice < 42) onSome(writes, advanceWrite, 2);
    else if (dice < 45) onSome(writes, loseWrite);
    else if (dice < 49) startRead();
    else if (dice < 56) onSome(reads, advanceRead);
    else if (dice < 84) for (let i = random.below(4); i >= 0; i--) deliver(follower);
    else if (dice < 88) heartbeat(follower);
    else if (dice < 92) comeOrGo(follower);
    else if (dice < 94) overflow(follower);
    else if (dice < 98) sendEvent(random.pick(names));
    else if (dice === 98 && (volatile || !observed)) crash();
  }
  while (writes.length > 0) advanceWrite(random.pick(writes));
  while (reads.length > 0) advanceRead(random.pick(reads));
  for (const follower of followers) while (deliver(follower)) continue;
  for (const name of names) {
    const list = reader.list(name, { final: true });
    list.page(group(name).snapshot(), group(name).head());
    list.done();
  }
  for (const follower of followers) follower.handle?.end("client");
  return sink.records;

  function sendEvent(name: string): void {
    const about = random.chance(0.5) ? `i${random.below(6)}` : undefined;
    const value = { tag: `s${++serial}` };
    const handle = writer.send({ group: name, event: "ping", item: about, value });
    group(name).send("ping", about, value);
    handle.acked();
  }
}

function makeFollowers(
  names: readonly string[],
  group: (name: string) => SimulatedGroup,
  observed: boolean,
): Follower[] {
  const idle = { handle: undefined, server: undefined, received: undefined, midSync: false };
  return names.flatMap((groupName, index) => {
    const common = { group: group(groupName), groupName, item: undefined, steady: false, ...idle };
    return [
      ...(observed
        ? [{ ...common, name: `observer of ${groupName}`, steady: true, held: undefined }]
        : []),
      { ...common, name: `follower of ${groupName}`, held: undefined },
      { ...common, name: `follower of deltas of ${groupName}`, held: new HeldItems() },
      {
        ...common,
        name: `follower of i1 in ${groupName}`,
        item: "i1",
        held: index % 2 === 0 ? new HeldItems() : undefined,
      },
    ];
  });
}

function someMutation(
  random: Random,
  group: SimulatedGroup,
  tag: string,
  untagged: boolean,
): MutationInput {
  const item = `i${random.below(6)}`;
  const now = group.items.get(item)?.revision ?? 0;
  const expectedRevision = random.chance(0.2) ? now : undefined;
  const dice = random.below(10);
  if (dice < 5) return { op: "set", item, value: { tag, by: "set" }, expectedRevision };
  if (dice < 7) return { op: "update", item, tag, expectedRevision };
  if (dice < 8 && untagged) return { op: "update", item, expectedRevision };
  return { op: "delete", item, expectedRevision };
}

/** Reads an item or the next page. Returns whether that was all. */
function readOn(read: Reader, pageSize: number): boolean {
  if (read.item !== undefined) {
    const found = read.group.items.get(read.item);
    if (found === undefined) read.get?.missing();
    else read.get?.found(found.value, found.revision);
    return true;
  }
  // The index after the last shown item, in creation order: creation revisions are not kept here,
  // so a page begins after the last shown item that still exists in its old place.
  const all = read.group.snapshot();
  const shown = read.shown ?? [];
  const rest = all.filter(({ item }) => !shown.includes(item));
  const page = rest.slice(0, pageSize);
  read.list?.page(page, read.group.head());
  read.shown = [...shown, ...page.map(({ item }) => item)];
  if (rest.length > pageSize) return false;
  read.list?.done();
  return true;
}
