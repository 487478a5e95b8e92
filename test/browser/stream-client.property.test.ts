import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Frame, Position } from "../../web/demo/group-follower.js";
import { type FakeSocket, GROUP, fakeConnection, frames } from "./fake-connection.ts";

/** A minimal correct service with one group. It can restart, trim its log and lose connections. */
class ModelService {
  #epoch = 1;
  #revision = 0;
  /** The kept changes, in order. */
  #log: Frame[] = [];
  #items: Record<string, unknown> = {};
  /** Frames to deliver to the open socket. */
  #outbox: Frame[] = [];
  #joined = false;
  /** Position -> the state there. */
  readonly #states = new Map<string, string>();

  constructor() {
    this.#remember();
  }

  get position(): Position {
    return { epoch: `e${this.#epoch}`, revision: this.#revision };
  }

  get items(): string {
    return JSON.stringify(Object.entries(this.#items));
  }

  /** The state at a position, as `items`. */
  stateAt({ epoch, revision }: Position): string | undefined {
    return this.#states.get(`${epoch}/${revision}`);
  }

  write(id: string, data: number | undefined): void {
    const { [id]: before, ...others } = this.#items;
    if (data === undefined && before === undefined) return;
    this.#revision++;
    if (data === undefined) this.#items = others;
    else this.#items = { ...this.#items, [id]: data };
    const frame =
      data === undefined
        ? frames.delete(id, before, this.position)
        : frames.set(id, data, this.position);
    this.#log.push(frame);
    if (this.#joined) this.#outbox.push(frame);
    this.#remember();
  }

  /** Queues the frames that follow a join. */
  join(resume: Position | undefined, parts: number): void {
    this.#joined = true;
    const head = this.position;
    const known =
      resume?.epoch === head.epoch &&
      resume.revision <= head.revision &&
      this.#log.length >= head.revision - resume.revision;
    if (known) {
      const missed = this.#log.slice(this.#log.length - (head.revision - resume.revision));
      this.#outbox.push(frames.resumed(resume, head), ...missed);
      return;
    }
    const entries = Object.entries(this.#items);
    const size = Math.max(1, Math.ceil(entries.length / parts));
    for (let from = 0; from === 0 || from < entries.length; from += size) {
      const part = Object.fromEntries(entries.slice(from, from + size));
      const place = { first: from === 0, last: from + size >= entries.length };
      this.#outbox.push(frames.sync(part, head, place));
    }
  }

  /** Delivers the next `count` frames. */
  deliver(socket: FakeSocket, count: number): void {
    for (const frame of this.#outbox.splice(0, count)) socket.receive(frame);
  }

  cut(): void {
    this.#joined = false;
    this.#outbox = [];
  }

  forget(): void {
    this.#log = [];
  }

  /** Restores the state without its last item, under a new epoch. */
  restore(): void {
    this.cut();
    this.#epoch++;
    this.#revision = 0;
    this.#log = [];
    this.#items = Object.fromEntries(Object.entries(this.#items).slice(0, -1));
    this.#remember();
  }

  #remember(): void {
    const { epoch, revision } = this.position;
    this.#states.set(`${epoch}/${revision}`, this.items);
  }
}

const action = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant("write"), fc.nat(3), fc.nat(9)) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("delete"), fc.nat(3), fc.nat(0)) },
  { weight: 6, arbitrary: fc.tuple(fc.constant("deliver"), fc.nat(4), fc.nat(0)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("connect"), fc.nat(2), fc.nat(0)) },
  ...["break", "presume lost", "forget", "restore", "stop", "start", "pass"].map((name) => ({
    weight: 1,
    arbitrary: fc.tuple(fc.constant(name), fc.nat(20), fc.nat(0)),
  })),
);

describe("the connection of a window, through any sequence of events", () => {
  it("shows the state that the group had at its position, and reaches the last one (G3, G4)", () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const service = new ModelService();
        const connection = fakeConnection();
        const { client, clock, sockets } = connection;
        const group = client.follow(GROUP, {});

        const openSocket = () => sockets.find(({ closed }) => !closed);
        const connect = (parts: number) => {
          client.start();
          client.hurry();
          const socket = openSocket();
          if (client.status !== "connecting" || socket === undefined) return;
          socket.open();
          service.join(socket.sent[0]?.data.resume, parts);
        };
        const check = () => {
          if (openSocket() === undefined || client.status === "connecting") service.cut();
          const { position } = group;
          if (position !== undefined) {
            expect(JSON.stringify([...group.items])).toBe(service.stateAt(position));
          }
        };
        for (const [name, first, second] of actions) {
          const socket = openSocket();
          if (name === "write") service.write(`item-${first}`, second);
          else if (name === "delete") service.write(`item-${first}`, undefined);
          else if (name === "deliver" && socket !== undefined) service.deliver(socket, first);
          else if (name === "connect") connect(first + 1);
          else if (name === "break") socket?.break();
          else if (name === "presume lost") client.presumeLost();
          else if (name === "forget") service.forget();
          else if (name === "stop") client.stop();
          else if (name === "start") client.start();
          else if (name === "pass") clock.pass(first * 1000);
          else if (name === "restore") {
            service.restore();
            socket?.break();
          }
          check();
        }
        openSocket()?.break();
        check();
        connect(1);
        service.deliver(connection.socket, Number.POSITIVE_INFINITY);
        expect(client.status).toBe("live");
        expect(group.position).toEqual(service.position);
        expect(JSON.stringify([...group.items])).toBe(service.items);
        expect(client.stats).toMatchObject({ holes: 0, repeats: 0 });
      }),
      { numRuns: 300 },
    );
  });
});
