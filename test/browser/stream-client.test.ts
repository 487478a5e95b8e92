import { describe, expect, it, vi } from "vitest";
import { GROUP, fakeConnection, frames } from "./fake-connection.ts";

const HEARTBEAT_MS = 15_000;
const at = (revision: number, epoch = "e") => ({ epoch, revision });

type Connection = ReturnType<typeof fakeConnection>;

/** Steps that bring a client into a state. */
const STATES = {
  idle: () => {},
  connecting: ({ client }: Connection) => client.start(),
  joining(connection: Connection) {
    connection.client.start();
    connection.socket.open();
  },
  live(connection: Connection) {
    STATES.joining(connection);
    connection.socket.receive(frames.sync({ a: 1 }, at(4)));
  },
  waiting(connection: Connection) {
    STATES.live(connection);
    connection.socket.break();
  },
};

const EVENTS = {
  "start()": ({ client }: Connection) => client.start(),
  "stop()": ({ client }: Connection) => client.stop(),
  "hurry()": ({ client }: Connection) => client.hurry(),
  "presumeLost()": ({ client }: Connection) => client.presumeLost(),
  "an open": ({ sockets }: Connection) => sockets.at(-1)?.open(),
  "a sync": ({ sockets }: Connection) => sockets.at(-1)?.receive(frames.sync({ a: 2 }, at(5))),
  "a hole": ({ sockets }: Connection) => sockets.at(-1)?.receive(frames.heartbeat(at(99))),
  "a break": ({ sockets }: Connection) => sockets.at(-1)?.break(),
  // The next timer: of the backoff, or of a silent connection.
  "a timeout": ({ clock }: Connection) => clock.pass(clock.leftMs ?? 0),
};

type State = keyof typeof STATES;

function following(random?: () => number) {
  const connection = fakeConnection(random);
  const listener = { onSync: vi.fn(), onChange: vi.fn(), onEvent: vi.fn(), onRefused: vi.fn() };
  const group = connection.client.follow(GROUP, listener);
  return Object.assign(connection, { listener, group });
}

describe("the connection of a window", () => {
  // State -> event -> next state. Missing events do not change the state.
  const TABLE: Record<State, Partial<Record<keyof typeof EVENTS, State>>> = {
    idle: { "start()": "connecting" },
    connecting: {
      "stop()": "idle",
      "presumeLost()": "waiting",
      "an open": "joining",
      "a break": "waiting",
      "a timeout": "waiting",
    },
    joining: {
      "stop()": "idle",
      "presumeLost()": "waiting",
      "a sync": "live",
      "a hole": "waiting",
      "a break": "waiting",
      "a timeout": "waiting",
    },
    live: {
      "stop()": "idle",
      "presumeLost()": "waiting",
      "a hole": "waiting",
      "a break": "waiting",
      "a timeout": "waiting",
    },
    waiting: { "stop()": "idle", "hurry()": "connecting", "a timeout": "connecting" },
  };
  // A socket opens once, and receives nothing before.
  const IMPOSSIBLE: Partial<Record<State, readonly string[]>> = {
    connecting: ["a sync", "a hole"],
    joining: ["an open"],
    live: ["an open"],
  };
  const rows = Object.entries(TABLE).flatMap(([state, nexts]) =>
    Object.keys(EVENTS)
      .filter((event) => IMPOSSIBLE[state as State]?.includes(event) !== true)
      .map((event) => {
        const next = nexts[event as keyof typeof EVENTS] ?? (state as State);
        return { state: state as State, event: event as keyof typeof EVENTS, next };
      }),
  );

  it.each(rows)("moves from $state to $next on $event", ({ state, event, next }) => {
    const connection = following();
    STATES[state](connection);
    expect(connection.client.status).toBe(state);
    EVENTS[event](connection);
    expect(connection.client.status).toBe(next);
    const open = connection.sockets.filter(({ closed }) => !closed);
    expect(open).toHaveLength(next === "idle" || next === "waiting" ? 0 : 1);
  });

  it("joins every group with one socket, and is live when all are up to date", () => {
    const connection = following();
    const other = { streamName: "metrics", groupId: "there" };
    connection.client.follow(other, {});
    STATES.joining(connection);
    expect(connection.socket.sent.map(({ data }) => data.groupId)).toEqual(["here", "there"]);
    connection.socket.receive(frames.sync({}, at(0, "")));
    expect(connection.client.status).toBe("joining");
    connection.socket.receive({ ...frames.sync({}, at(0, "")), ...other });
    expect(connection.client.status).toBe("live");
  });

  it("notifies of the state, the changes and the events of each group in order", () => {
    const connection = following();
    STATES.live(connection);
    connection.socket.receive(frames.set("b", 2, at(5)));
    connection.socket.receive(frames.event("cursor", { x: 1 }));
    expect(connection.listener.onSync).toHaveBeenCalledExactlyOnceWith(
      connection.group.items,
      1004,
    );
    expect(connection.listener.onChange).toHaveBeenCalledExactlyOnceWith({
      type: "update",
      id: "b",
      data: 2,
      timestamp: 1005,
      revision: 5,
    });
    expect(connection.listener.onEvent).toHaveBeenCalledExactlyOnceWith("cursor", { x: 1 });
    expect(connection.client.stats).toMatchObject({ syncs: 1, changes: 1, events: 1 });
  });

  it("keeps the state while it is disconnected, and then resumes (G4)", () => {
    const connection = following();
    STATES.waiting(connection);
    expect([...connection.group.items]).toEqual([["a", 1]]);
    connection.client.hurry();
    connection.socket.open();
    expect(connection.socket.sent).toMatchObject([{ type: "join", data: { resume: at(4) } }]);
    connection.socket.receive(frames.resumed(at(4), at(5)));
    expect(connection.client.status).toBe("joining");
    connection.socket.receive(frames.set("a", 2, at(5)));
    expect(connection.client.status).toBe("live");
    expect(connection.listener.onSync).toHaveBeenCalledOnce();
    expect(connection.client.stats).toMatchObject({ opened: 2, syncs: 1, resumes: 1, changes: 1 });
  });

  it("replaces the state when the service no longer has the missed changes", () => {
    const connection = following();
    STATES.waiting(connection);
    connection.client.hurry();
    connection.socket.open();
    connection.socket.receive(frames.sync({ z: 1 }, at(1, "f")));
    expect(connection.client.status).toBe("live");
    expect([...connection.group.items]).toEqual([["z", 1]]);
  });

  it("requests the whole state after a hole", () => {
    const connection = following();
    STATES.live(connection);
    connection.socket.receive(frames.set("b", 2, at(7)));
    expect(connection.client).toMatchObject({ status: "waiting", stats: { holes: 1, changes: 0 } });
    connection.client.hurry();
    connection.socket.open();
    expect(connection.socket.sent[0]?.data).not.toHaveProperty("resume");
  });

  it("drops a connection after exactly two heartbeat intervals of silence (G5)", () => {
    const connection = following();
    STATES.live(connection);
    for (let beats = 0; beats < 3; beats++) {
      connection.clock.pass(2 * HEARTBEAT_MS - 1);
      expect(connection.client.status).toBe("live");
      connection.socket.receive(frames.heartbeat(at(4)));
    }
    connection.clock.pass(2 * HEARTBEAT_MS - 1);
    expect(connection.client.status).toBe("live");
    connection.clock.pass(1);
    expect(connection.client).toMatchObject({
      status: "waiting",
      stats: { heartbeats: 3, silences: 1 },
    });
  });

  it("detects the silence of one group while another receives frames", () => {
    const connection = following();
    const other = { streamName: "metrics", groupId: "there" };
    connection.client.follow(other, {});
    STATES.live(connection);
    connection.socket.receive({ ...frames.sync({}, at(0, "")), ...other });
    connection.clock.pass(HEARTBEAT_MS);
    connection.socket.receive(frames.heartbeat(at(4)));
    connection.clock.pass(HEARTBEAT_MS);
    expect(connection.client.status).toBe("waiting");
  });

  it("ignores frames of a socket that it dropped", () => {
    const connection = following();
    STATES.live(connection);
    const old = connection.socket;
    connection.client.presumeLost();
    connection.client.hurry();
    connection.socket.open();
    old.receive(frames.sync({ z: 1 }, at(9)));
    old.break();
    expect(connection.client.status).toBe("joining");
    expect([...connection.group.items]).toEqual([["a", 1]]);
  });

  /** The backoff after each of several failures in a row, with a fixed random value. */
  function waitsOf(random: number, failures: number) {
    const connection = following(() => random);
    connection.client.start();
    return Array.from({ length: failures }, () => {
      connection.socket.break();
      const leftMs = connection.clock.leftMs ?? 0;
      connection.clock.pass(leftMs);
      return Math.round(leftMs);
    });
  }

  it("backs off longer after each failure, at random from 250 ms to 5 s", () => {
    expect(waitsOf(0.999999, 7)).toEqual([500, 1000, 2000, 4000, 5000, 5000, 5000]);
    expect(waitsOf(0, 7)).toEqual([250, 250, 250, 250, 250, 250, 250]);
    expect(waitsOf(0.999999, 2000).at(-1)).toBe(5000);
  });

  it("resets its backoff only after it has been live for 5 s", () => {
    const connection = following(() => 0.999999);
    const fail = () => {
      connection.socket.break();
      const leftMs = connection.clock.leftMs ?? 0;
      connection.clock.pass(leftMs);
      return Math.round(leftMs);
    };
    connection.client.start();
    expect([fail(), fail()]).toEqual([500, 1000]);
    connection.socket.open();
    connection.socket.receive(frames.sync({ a: 1 }, at(4)));
    connection.clock.pass(4999);
    expect(fail()).toBe(2000);
    connection.socket.open();
    connection.socket.receive(frames.resumed(at(4), at(4)));
    connection.clock.pass(5000);
    expect(fail()).toBe(500);
  });

  it("reconnects after a temporary refusal, and accepts a permanent one", () => {
    const temporary = following();
    STATES.joining(temporary);
    temporary.socket.receive(frames.refused("unavailable", "STORE_UNAVAILABLE"));
    expect(temporary.client.status).toBe("waiting");

    const permanent = following();
    STATES.joining(permanent);
    permanent.socket.receive(frames.refused("permission_denied", "JOIN_REFUSED"));
    expect(permanent.client.status).toBe("live");
    expect(permanent.listener.onRefused).toHaveBeenCalledExactlyOnceWith("No.");
  });

  it.each(["", "nonsense", "null", "[]", '{"type":"stream"}', '{"type":"pong"}'])(
    "ignores an invalid frame: %j",
    (text) => {
      const connection = following();
      STATES.live(connection);
      connection.socket.receive(text);
      expect(connection.client.status).toBe("live");
    },
  );

  it("announces itself with a session that survives a loss, and ends with stop()", () => {
    const connection = fakeConnection();
    let shown: object | undefined = { name: "Ann" };
    connection.client.follow(GROUP, { presence: () => shown });
    STATES.joining(connection);
    const { sent } = connection.socket;
    expect(sent.map(({ type }) => type)).toEqual(["hello", "join"]);
    expect(sent[0]?.data).toEqual({ version: 2 });
    expect(sent[1]?.data).toMatchObject({ presence: { name: "Ann" } });
    connection.socket.receive({ type: "welcome", data: { session: "secret" } });
    shown = { name: "Anna" };
    connection.client.show(GROUP);
    const { subscriptionId } = sent[1]?.data ?? {};
    expect(sent[2]).toEqual({ type: "presence", data: { subscriptionId, data: shown } });
    const { socket } = connection;
    connection.client.presumeLost();
    expect(socket.closedWith).toBe(4000);
    connection.client.hurry();
    connection.socket.open();
    expect(connection.socket.sent[0]?.data).toEqual({ version: 2, session: "secret" });
    expect(connection.socket.sent[1]?.data).toMatchObject({ presence: { name: "Anna" } });
    const last = connection.socket;
    connection.client.stop();
    expect([last.closed, last.closedWith]).toEqual([true, undefined]);
    connection.client.start();
    connection.socket.open();
    expect(connection.socket.sent[0]?.data).toEqual({ version: 2 });
  });

  it("follows without presence when the service refuses it", () => {
    const connection = fakeConnection();
    const onHidden = vi.fn();
    connection.client.follow(GROUP, { presence: () => ({}), onHidden });
    STATES.joining(connection);
    connection.socket.receive(frames.refused("permission_denied", "ACTION_DENIED"));
    expect(onHidden).toHaveBeenCalledExactlyOnceWith("No.");
    expect(connection.socket.sent.at(-1)?.type).toBe("join");
    expect(connection.socket.sent.at(-1)?.data).not.toHaveProperty("presence");
    connection.socket.receive(frames.sync({}, at(0, "")));
    expect(connection.client.status).toBe("live");
    const count = connection.socket.sent.length;
    connection.client.show(GROUP);
    expect(connection.socket.sent).toHaveLength(count);
  });

  it("resumes after stop() and start()", () => {
    const connection = following();
    STATES.live(connection);
    connection.client.stop();
    connection.client.start();
    connection.socket.open();
    expect(connection.socket.sent[0]?.data.resume).toEqual(at(4));
    expect(connection.statuses).toEqual([
      "connecting",
      "joining",
      "live",
      "idle",
      "connecting",
      "joining",
    ]);
  });
});
