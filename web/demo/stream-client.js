/**
 * One WebSocket to the service, for all groups that a window follows. It comes back by itself, and
 * what is known of the groups stays meanwhile.
 *
 *              start()            the socket opens        all groups are up to date
 *     idle ─────────────▶ connecting ────────────▶ joining ────────────▶ live
 *      ▲                    ▲    │                    │                    │
 *      │             a while │    │ closed, silent, lost, a hole            │
 *    stop()          or hurry│    ▼                    ▼                    │
 *   (from anywhere)       waiting ◀───────────────────┴────────────────────┘
 *
 * - closed: the socket closed, whatever its code. The service may be back in a moment.
 * - silent: a group that asked for heartbeats had none, and nothing else, for two intervals; or a socket
 *   did not open in time. Such a connection may be dead without anybody being told.
 * - lost: the browser says that the network changed.
 * - a hole: the service broke a promise. That group starts again with the whole state.
 *
 * Sockets, clock and randomness are passed in, so this runs without a browser.
 */
import { createGroupFollower } from "./group-follower.js";

/** @import { Change, Frame, GroupFollower, Heard, Saved, Target } from "./group-follower.js" */

/** @typedef {"idle" | "connecting" | "joining" | "live" | "waiting"} Status */

/**
 * @typedef {object} SocketEvents What a socket tells. A failure to open is a close.
 * @property {() => void} opened
 * @property {(text: unknown) => void} heard
 * @property {() => void} closed
 */

/**
 * @typedef {object} Socket
 * @property {(text: string) => void} send
 * @property {() => void} close
 */

/**
 * @typedef {object} Listener What a window does with a group. All are called in the order of the group.
 * @property {(items: ReadonlyMap<string, unknown>, timestamp: number) => void} [onSync] The state was
 *   replaced. The timestamp is that of the group's last event, by the service's clock.
 * @property {(change: Change) => void} [onChange] The state has changed.
 * @property {(type: string, data: unknown) => void} [onEvent] Something happened that is not kept.
 * @property {(message: string) => void} [onRefused] The service does not let us follow.
 */

/**
 * @typedef {object} Options
 * @property {(events: SocketEvents) => Socket} openSocket
 * @property {(status: Status) => void} onStatus Called when the status has changed.
 * @property {() => number} nowMs A clock that only goes forward, in milliseconds.
 * @property {(work: () => void, ms: number) => () => void} later Runs work after a while. Returns how
 *   to call it off.
 * @property {() => number} random From 0 to less than 1.
 * @property {number} [heartbeatMs] The service's heartbeat interval.
 */

/** @typedef {ReturnType<typeof createStreamClient>} StreamClient */

/** First and longest wait before a connection is tried again, in milliseconds. */
const MIN_WAIT_MS = 250;
const MAX_WAIT_MS = 5000;
/** How long a connection has to be live before the waits begin anew, in milliseconds. */
const STEADY_MS = 5000;
/** How long a socket may take to open, in milliseconds. */
const OPEN_TIMEOUT_MS = 10_000;
/** The service's default. */
const HEARTBEAT_MS = 15_000;

/**
 * How long to wait before the next try: random, so that a thousand windows do not come back at once,
 * and longer each time.
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
 * Makes a client. It connects when it is started.
 *
 * @param {Options} options
 */
export function createStreamClient(options) {
  const { openSocket, onStatus, nowMs, later, random, heartbeatMs = HEARTBEAT_MS } = options;
  /** @type {Map<string, { follower: GroupFollower, listener: Listener, heardMs: number }>} */
  const groups = new Map();
  const stats = {
    /** Sockets that opened. */
    opened: 0,
    /** Answers to joins, and later frames of that kind. */
    syncs: 0,
    resumes: 0,
    heartbeats: 0,
    changes: 0,
    events: 0,
    /** Changes that came twice, and promises that were broken: both stay 0. */
    repeats: 0,
    holes: 0,
    /** Connections given up because nothing was heard. */
    silences: 0,
  };
  /** @type {Status} */
  let status = "idle";
  /** @type {Socket | undefined} */
  let socket;
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
    // What a socket that was given up still says concerns nobody.
    const opening = openSocket({
      opened: () => opening === socket && joinAll(),
      heard: (text) => opening === socket && hear(text),
      closed: () => opening === socket && lose(),
    });
    socket = opening;
    callOff = later(fallSilent, OPEN_TIMEOUT_MS);
  }

  function joinAll() {
    stats.opened++;
    enter("joining");
    for (const [id, group] of groups) {
      group.heardMs = nowMs();
      socket?.send(group.follower.join(id));
    }
    watch();
    settle();
  }

  /** Looks after the connection when the group that was silent for longest could be overdue. */
  function watch() {
    callOff();
    const heardMs = [...groups.values()]
      .filter(({ follower }) => follower.phase !== "refused")
      .reduce((earliest, group) => Math.min(earliest, group.heardMs), nowMs());
    const leftMs = heardMs + 2 * heartbeatMs - nowMs();
    if (leftMs <= 0) fallSilent();
    else callOff = later(watch, leftMs);
  }

  function fallSilent() {
    stats.silences++;
    lose();
  }

  /** @param {unknown} text */
  function hear(text) {
    const frame = readFrame(text);
    const group = frame && groups.get(keyOf(frame));
    if (frame === undefined || group === undefined) return;
    const heard = group.follower.take(frame);
    if (frame.revision !== undefined) group.heardMs = nowMs();
    count(heard);
    tell(group.listener, group.follower, heard);
    if (heard.kind === "hole" || (heard.kind === "refused" && heard.retryable)) lose();
    else settle();
  }

  /** @param {Heard} heard */
  function count({ kind }) {
    if (kind === "sync") stats.syncs++;
    else if (kind === "resumed") stats.resumes++;
    else if (kind === "heartbeat") stats.heartbeats++;
    else if (kind === "change") stats.changes++;
    else if (kind === "event") stats.events++;
    else if (kind === "repeated") stats.repeats++;
    else if (kind === "hole") stats.holes++;
  }

  /** Is up to date when every group is. */
  function settle() {
    if (status !== "joining") return;
    for (const { follower } of groups.values()) {
      if (follower.phase !== "live" && follower.phase !== "refused") return;
    }
    liveSinceMs = nowMs();
    enter("live");
  }

  /** Gives the connection up, and comes back. */
  function lose() {
    if (status === "live" && nowMs() - liveSinceMs >= STEADY_MS) failures = 0;
    disconnect();
    failures++;
    callOff = later(connect, waitMs(failures, random()));
    enter("waiting");
  }

  function disconnect() {
    callOff();
    const given = socket;
    socket = undefined;
    given?.close();
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
     * @returns {Pick<GroupFollower, "items" | "phase" | "position" | "save">} What is known.
     */
    follow(target, listener, saved) {
      const follower = createGroupFollower(target, saved);
      groups.set(keyOf(target), { follower, listener, heardMs: 0 });
      return follower;
    },
    /** Connects. */
    start() {
      if (status === "idle") connect();
    },
    /** Ends the connection. What is known stays, and start() goes on from there. */
    stop() {
      disconnect();
      failures = 0;
      enter("idle");
    },
    /** Gives up a connection that can be presumed dead, and tries again. */
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
 * @param {Heard} heard
 */
function tell(listener, follower, heard) {
  if (heard.kind === "sync") listener.onSync?.(follower.items, heard.timestamp);
  else if (heard.kind === "change") listener.onChange?.(heard.change);
  else if (heard.kind === "event") listener.onEvent?.(heard.type, heard.data);
  else if (heard.kind === "refused") listener.onRefused?.(heard.message);
}

/**
 * Reads a frame; undefined: it is none that concerns us.
 *
 * @param {unknown} text
 * @returns {Frame | undefined}
 */
function readFrame(text) {
  try {
    const frame = /** @type {Partial<Frame> | null} */ (JSON.parse(String(text)));
    if (frame?.type !== "stream" || typeof frame.event?.type !== "string") return undefined;
    return /** @type {Frame} */ (frame);
  } catch {
    return undefined;
  }
}

/**
 * Also the subscription's id: a window follows a group once.
 *
 * @param {Target} target
 */
function keyOf({ streamName, groupId }) {
  return JSON.stringify([streamName, groupId]);
}
