import { setTimeout as sleep } from "node:timers/promises";
import { fromJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Position } from "../../../src/core/position.ts";
import { type RecordSink, createRecorder, sealedValue } from "../checker/index.ts";
import type { Random } from "../random.ts";
import { BridgeClient, type Follow } from "./bridge-client.ts";
import { type Client, connect, itemInput } from "./traffic.ts";

/** The size of a scene. */
export interface SceneSize {
  readonly groups: number;
  /** Time after which `returning` sockets read again, in milliseconds. */
  readonly returnMs: number;
  /** Time after which `stuck` sockets read again and receive their close code, in milliseconds. */
  readonly stuckMs: number;
  /** Changes and transient events written per second, in total. */
  readonly eventsPerSecond: number;
}

/**
 * The behaviour of a socket. `live` always reads. The others stall: `pausing` stops reading once it
 * has its state, `returning` and `stuck` in the middle of a snapshot that exceeds the system's
 * socket buffers; `returning` reads again before the stall timeout.
 */
export type Behaviour = "live" | "pausing" | "returning" | "stuck";

/** A socket of the scene. */
export interface SceneSocket {
  readonly behaviour: Behaviour;
  readonly client: BridgeClient;
}

const STREAM = "sockets";
const HEAVY = "heavy";
/** Items of a batch: one call writes all of them, to load the service rather than its writers. */
const ITEMS = Array.from({ length: 25 }, (_, i) => `i${i}`);
/** Items of the heavy group; together twice the socket buffers of the system. */
const HEAVY_ITEMS = ITEMS.slice(0, 8);
const HEAVY_CHARS = 900_000;
const WRITERS = 32;
/** Connections that the writers share. */
const CONNECTIONS = 8;
/** Sockets that connect concurrently. */
const AT_ONCE = 100;

/** Writers and sockets of one service. They record everything that they send and receive. */
export class BridgeScene {
  readonly #url: string;
  readonly #sink: RecordSink;
  readonly #dice: Random;
  readonly #size: SceneSize;
  readonly #groups: readonly string[];
  readonly #writers: readonly Client[];
  #count = 0;

  constructor(url: string, sink: RecordSink, dice: Random, size: SceneSize) {
    this.#url = url;
    this.#sink = sink;
    this.#dice = dice;
    this.#size = size;
    this.#groups = Array.from({ length: size.groups }, (_, i) => `g${i}`);
    const clients = Array.from({ length: CONNECTIONS }, () => connect(url));
    this.#writers = Array.from({ length: WRITERS }, (_, i) => clients[i % CONNECTIONS] as Client);
  }

  /** Writes to every group, and fills its history. */
  async fill(): Promise<void> {
    const left = [...this.#groups, ...this.#groups];
    await this.#each(async (client) => {
      for (let group = left.pop(); group !== undefined; group = left.pop())
        await this.#writeBatch(client, group, ITEMS, 80);
    });
    for (const item of HEAVY_ITEMS)
      await this.#writeBatch(this.#writers[0] as Client, HEAVY, [item], HEAVY_CHARS);
  }

  /** Writes events at the rate of the scene. @returns their number. */
  async traffic(seconds: number): Promise<number> {
    const endMs = performance.now() + seconds * 1000;
    const msPerEvent = (1000 * WRITERS) / this.#size.eventsPerSecond;
    let events = 0;
    await this.#each(async (client) => {
      let nextMs = performance.now() + this.#dice.below(ITEMS.length * msPerEvent);
      while (nextMs < endMs) {
        await sleep(Math.max(0, nextMs - performance.now()));
        const group = this.#dice.pick(this.#groups);
        const isEvent = this.#dice.chance(0.1);
        if (isEvent) await this.#send(client, group);
        else await this.#writeBatch(client, group, ITEMS, 80);
        const made = isEvent ? 1 : ITEMS.length;
        events += made;
        // Catches up after a short delay, but not after a longer pause.
        nextMs = Math.max(nextMs + made * msPerEvent, performance.now() - 5000);
      }
    });
    return events;
  }

  /** Opens one socket per behaviour, some at a time. */
  async open(name: string, behaviours: readonly Behaviour[]): Promise<SceneSocket[]> {
    const all: SceneSocket[] = [];
    for (let start = 0; start < behaviours.length; start += AT_ONCE) {
      const some = behaviours.slice(start, start + AT_ONCE).map((behaviour, at): SceneSocket => {
        const stallsAtOnce = behaviour === "stuck" || behaviour === "returning";
        const client = new BridgeClient({
          url: this.#url,
          streamName: STREAM,
          recorder: (index) =>
            createRecorder({ client: `${name}${start + at}-${index}`, sink: this.#sink }),
          follows: this.#follows(stallsAtOnce),
          slow: behaviour !== "live",
          stallsAtOnce,
        });
        if (behaviour === "returning") setTimeout(() => client.resume(), this.#size.returnMs);
        if (behaviour === "stuck") setTimeout(() => client.resume(), this.#size.stuckMs);
        return { behaviour, client };
      });
      await Promise.all(some.map(({ client }) => client.ready));
      for (const { behaviour, client } of some) if (behaviour === "pausing") client.pause();
      all.push(...some);
    }
    return all;
  }

  /** Lists all groups; `final`: after all writes. @returns their heads. */
  async heads(options: { final: boolean }): Promise<Map<string, Position>> {
    const heads = new Map<string, Position>();
    const left = [HEAVY, ...this.#groups];
    await this.#each(async (client) => {
      for (let group = left.pop(); group !== undefined; group = left.pop())
        heads.set(group, await this.#list(client, group, options));
    });
    return heads;
  }

  async #each(work: (client: Client) => Promise<void>): Promise<void> {
    await Promise.all(this.#writers.map(work));
  }

  /** Five subscriptions: a group and one of its items, another group, and two items elsewhere. */
  #follows(isHeavy: boolean): Follow[] {
    const group = () => this.#dice.pick(this.#groups);
    const item = () => this.#dice.pick(ITEMS);
    const both = group();
    return [
      { group: isHeavy ? HEAVY : group() },
      { group: both },
      { group: both, item: item() },
      { group: group(), item: item() },
      { group: group(), item: item() },
    ];
  }

  #recorder() {
    return createRecorder({ client: `w${++this.#count}`, sink: this.#sink });
  }

  async #writeBatch(
    client: Client,
    group: string,
    items: readonly string[],
    padChars: number,
  ): Promise<void> {
    const recorder = this.#recorder();
    const writes = items.map((item) => {
      const value = sealedValue(`${this.#count}-${item}`, padChars);
      return { item, value, data: fromJson(ValueSchema, value) };
    });
    const mutations = writes.map(({ item, value }) => ({ op: "set" as const, item, value }));
    const handle = recorder.write({ group, mutations, batch: true });
    const { position } = await client.batch({
      streamName: STREAM,
      groupId: group,
      mutations: writes.map(({ item, data }) => ({
        mutation: { case: "set" as const, value: { itemId: item, data } },
      })),
    });
    handle.acked({ position: plain(position) });
  }

  async #send(client: Client, group: string): Promise<void> {
    const recorder = this.#recorder();
    const value = `note-${this.#count}`;
    const handle = recorder.send({ group, event: "note", value });
    const data = fromJson(ValueSchema, value);
    await client.send({ streamName: STREAM, groupId: group, type: "note", data });
    handle.acked();
  }

  async #list(client: Client, group: string, options: { final: boolean }): Promise<Position> {
    const handle = this.#recorder().list(group, options);
    let pageToken = "";
    let position: Position | undefined;
    do {
      const page = await client.list({ streamName: STREAM, groupId: group, pageToken });
      position = plain(page.position);
      handle.page(page.items.map(itemInput), position);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    handle.done();
    return position;
  }
}

function plain(position: { epoch: string; revision: bigint } | undefined): Position {
  if (position === undefined) throw new Error("a position is missing");
  return { epoch: position.epoch, revision: Number(position.revision) };
}
