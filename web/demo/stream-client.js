/**
 * One WebSocket to the service, for all groups that a window follows. It reconnects by itself, and
 * keeps the state of the groups meanwhile.
 *
 *              start()            the socket opens        all groups are up to date
 *     idle ─────────────▶ connecting ────────────▶ joining ────────────▶ live
 *      ▲                    ▲    │                    │                    │
 *      │             a while │    │ closed, silent, lost, a hole            │
 *    stop()          or hurry│    ▼                    ▼                    │
 *   (from anywhere)       waiting ◀───────────────────┴────────────────────┘
 *
 * - closed: the socket closed, whatever its code. The service may be back in a moment.
 * - silent: a group that asked for heartbeats had none, and nothing else, for two intervals; or a
 *   socket
 *   did not open in time. Such a connection may be dead without a close event.
 * - lost: the browser reports that the network changed.
 * - a hole: the service broke a promise. That group starts over with the whole state.
 *
 * Sockets, clock and randomness are passed in, so this runs without a browser.
 */
import { createGroupFollower } from "./group-follower.js";
import { fieldsOf } from "./service.js";

/** @import { Change, Frame, GroupFollower, Outcome, Saved, Target } from "./group-follower.js" */

/** @typedef {"idle" | "connecting" | "joining" | "live" | "waiting"} Status */

/**
 * @typedef {object} SocketEvents The events of a socket. A failure to open is a close.
 * @property {() => void} opened
 * @property {(text: unknown) => void} received
 * @property {() => void} closed
 */

/**
 * @typedef {object} Socket
 * @property {(text: string) => void} send
 * @property {(code?: number) => void} close Without a code: the window does not come back.
 */

/**
 * @typedef {object} Listener Callbacks for a group, called in the order of the group.
 * @property {(items: ReadonlyMap<string, unknown>, timestamp: number) => void} [onSync] The state
 *   was
 *   replaced. The timestamp is that of the group's last event, by the service's clock.
 * @property {(change: Change) => void} [onChange] The state has changed.
 * @property {(type: string, data: unknown) => void} [onEvent] A transient event.
 * @property {(message: string) => void} [onRefused] The service refuses the subscription.
 * @property {() => object | undefined} [presence] What the window shows of itself to the others;
 *   undefined: nothing yet.
 * @property {(message: string) => void} [onHidden] The service does not let it show itself. It
 *   follows the group all the same.
 */

/**
 * @typedef {object} Options
 * @property {(events: SocketEvents) => Socket} openSocket
 * @property {(status: Status) => void} onStatus Called when the status has changed.
 * @property {() => number} nowMs A clock that only goes forward, in milliseconds.
 * @property {(work: () => void, ms: number) => () => void} later Runs work after a delay. Returns a
 *   function that cancels it.
 * @property {() => number} random From 0 to less than 1.
 * @property {number} [heartbeatMs] The service's heartbeat interval.
 */

/** @typedef {ReturnType<typeof createStreamClient>} StreamClient */

/** First and longest wait before a connection is tried again, in milliseconds. */
const MIN_WAIT_MS = 250;
const MAX_WAIT_MS = 5000;
/** Time for which a connection must be live before the waits start over, in milliseconds. */
const STEADY_MS = 5000;
/** Longest time for a socket to open, in milliseconds. */
const OPEN_TIMEOUT_MS = 10_000;
/** The close code of a socket whose client will come back: the service keeps its session. */
const COMING_BACK = 4000;
/** The service's default. */
const HEARTBEAT_MS = 15_000;

/**
 * The wait before the next attempt: random, so that many windows do not reconnect at once, and
 * longer each time.
 *
 * @param {number} failures In a row, at least 1.
 * @param {number} random From 0 to less than 1.
 * @returns {number} Milliseconds.
 */
function waitMs(failures, random) {
  const longest = Math.min(MAX_WAIT_MS, MIN_WAIT_MS * 2 ** failures);
  return MIN_WAIT_MS + random * (longest - MIN_WAIT_MS);
}

/**
 * Creates a client. It connects when it is started.
 *
 * @param {Options} options
 */
export function createStreamClient(options) {
  const { openSocket, onStatus, nowMs, later, random, heartbeatMs = HEARTBEAT_MS } = options;
  /**
   * @type {Map<string, { follower: GroupFollower, listener: Listener, lastFrameMs: number,
   *   isHidden: boolean }>}
   */
  const groups = new Map();
  const stats = {
    /** Sockets that opened. */
    opened: 0,
    /** Responses to joins, and later frames of that kind. */
    syncs: 0,
    resumes: 0,
    heartbeats: 0,
    changes: 0,
    events: 0,
    /** Repeated changes and broken promises: both stay 0. */
    repeats: 0,
    holes: 0,
    /** Connections dropped because of silence. */
    silences: 0,
  };
  /** @type {Status} */
  let status = "idle";
  /** @type {Socket | undefined} */
  let socket;
  /** Secret of the session, by which the window stays the same one when it comes back. */
  /** @type {unknown} */
  let session;
  let callOff = () => {};
  let failures = 0;
  let liveSinceMs = 0;

  /** @param {Status} next */
  function enter(next) {
    if (next === status) return;
    status = next;
    onStatus(status);
  }

  function connect() {
    enter("connecting");
    // Events of a dropped socket are ignored.
    const opening = openSocket({
      opened: () => opening === socket && joinAll(),
      received: (text) => opening === socket && receive(text),
      closed: () => opening === socket && lose(),
    });
    socket = opening;
    callOff = later(fallSilent, OPEN_TIMEOUT_MS);
  }

  function joinAll() {
    stats.opened++;
    enter("joining");
    const isPresent = [...groups.values()].some(({ listener }) => listener.presence !== undefined);
    if (isPresent) socket?.send(JSON.stringify({ type: "hello", data: { version: 2, session } }));
    for (const [id, group] of groups) {
      group.lastFrameMs = nowMs();
      const presence = group.isHidden ? undefined : group.listener.presence?.();
      socket?.send(group.follower.join(id, presence));
    }
    watch();
    settle();
  }

  /** Checks the connection when the most silent group could be overdue. */
  function watch() {
    callOff();
    const lastFrameMs = [...groups.values()]
      .filter(({ follower }) => follower.phase !== "refused")
      .reduce((earliest, group) => Math.min(earliest, group.lastFrameMs), nowMs());
    const leftMs = lastFrameMs + 2 * heartbeatMs - nowMs();
    if (leftMs <= 0) fallSilent();
    else callOff = later(watch, leftMs);
  }

  function fallSilent() {
    stats.silences++;
    lose();
  }

  /** @param {unknown} text */
  function receive(text) {
    const value = readFrame(text);
    const { type, data } = fieldsOf(value);
    if (type === "welcome") session = fieldsOf(data)["session"];
    const frame = groupFrameOf(value);
    const group = frame && groups.get(keyOf(frame));
    if (frame === undefined || group === undefined) return;
    const outcome = group.follower.take(frame);
    if (frame.revision !== undefined) group.lastFrameMs = nowMs();
    if (outcome.kind === "refused" && !outcome.retryable && hides(group, outcome.message)) return;
    count(outcome);
    notify(group.listener, group.follower, outcome);
    if (outcome.kind === "hole" || (outcome.kind === "refused" && outcome.retryable)) lose();
    else settle();
  }

  /**
   * Joins a group again without presence, if it was refused with it.
   *
   * @param {{ follower: GroupFollower, listener: Listener, isHidden: boolean }} group
   * @param {string} message
   * @returns {boolean} Whether it was.
   */
  function hides(group, message) {
    const { follower, listener } = group;
    if (group.isHidden || listener.presence?.() === undefined) return false;
    group.isHidden = true;
    socket?.send(follower.join(keyOf(follower)));
    listener.onHidden?.(message);
    return true;
  }

  /** @param {Outcome} outcome */
  function count({ kind }) {
    if (kind === "sync") stats.syncs++;
    else if (kind === "resumed") stats.resumes++;
    else if (kind === "heartbeat") stats.heartbeats++;
    else if (kind === "change") stats.changes++;
    else if (kind === "event") stats.events++;
    else if (kind === "repeated") stats.repeats++;
    else if (kind === "hole") stats.holes++;
  }

  /** Goes live when every group is up to date. */
  function settle() {
    if (status !== "joining") return;
    for (const { follower } of groups.values()) {
      if (follower.phase !== "live" && follower.phase !== "refused") return;
    }
    liveSinceMs = nowMs();
    enter("live");
  }

  /** Drops the connection, and reconnects later. */
  function lose() {
    if (status === "live" && nowMs() - liveSinceMs >= STEADY_MS) failures = 0;
    disconnect(COMING_BACK);
    failures++;
    callOff = later(connect, waitMs(failures, random()));
    enter("waiting");
  }

  /** @param {number} [code] */
  function disconnect(code) {
    callOff();
    const given = socket;
    socket = undefined;
    given?.close(code);
    for (const { follower } of groups.values()) follower.detach();
  }

  return {
    get status() {
      return status;
    },
    get stats() {
      return { ...stats };
    },
    /**
     * Follows a group. To be called before start().
     *
     * @param {Target} target
     * @param {Listener} listener
     * @param {Saved} [saved] What was known before.
     * @returns {Pick<GroupFollower, "items" | "phase" | "position" | "changes" | "save">} What is
     *   known.
     */
    follow(target, listener, saved) {
      const follower = createGroupFollower(target, saved);
      groups.set(keyOf(target), { follower, listener, lastFrameMs: 0, isHidden: false });
      return follower;
    },
    /**
     * Shows in a group what the window shows of itself now.
     *
     * @param {Target} target
     */
    show(target) {
      const subscriptionId = keyOf(target);
      const { follower, listener, isHidden = true } = groups.get(subscriptionId) ?? {};
      if (isHidden || follower?.phase === "apart" || follower?.phase === "refused") return;
      const data = { subscriptionId, data: listener?.presence?.() };
      socket?.send(JSON.stringify({ type: "presence", data }));
    },
    /** Connects. */
    start() {
      if (status === "idle") connect();
    },
    /** Ends the connection. The state is kept, and start() resumes from there. */
    stop() {
      disconnect();
      session = undefined;
      failures = 0;
      enter("idle");
    },
    /** Drops a connection that is presumed dead, and tries again. */
    presumeLost() {
      if (status !== "idle" && status !== "waiting") lose();
    },
    /** Tries again now instead of later. */
    hurry() {
      if (status !== "waiting") return;
      callOff();
      connect();
    },
  };
}

/**
 * @param {Listener} listener
 * @param {GroupFollower} follower
 * @param {Outcome} outcome
 */
function notify(listener, follower, outcome) {
  if (outcome.kind === "sync") listener.onSync?.(follower.items, outcome.timestamp);
  else if (outcome.kind === "change") listener.onChange?.(outcome.change);
  else if (outcome.kind === "event") listener.onEvent?.(outcome.type, outcome.data);
  else if (outcome.kind === "refused") listener.onRefused?.(outcome.message);
}

/**
 * Parses a frame.
 *
 * @param {unknown} text
 * @returns {unknown}
 */
function readFrame(text) {
  try {
    return JSON.parse(String(text));
  } catch {
    return undefined;
  }
}

/**
 * The frame of a group; undefined: it is another one.
 *
 * @param {unknown} value
 * @returns {Frame | undefined}
 */
function groupFrameOf(value) {
  const { type, event } = fieldsOf(value);
  if (type !== "stream" || typeof fieldsOf(event)["type"] !== "string") return undefined;
  return /** @type {Frame} */ (value);
}

/**
 * Also the subscription's id: a window follows a group once.
 *
 * @param {Target} target
 */
function keyOf({ streamName, groupId }) {
  return JSON.stringify([streamName, groupId]);
}
