/**
 * The state of one group in one window: the fold of the frames of the service's WebSocket bridge.
 * It knows neither sockets nor the page.
 *
 * The state outlives the socket. A later join resumes from `position`, and the service replays the
 * missed changes (`resumed`) or, when it no longer has all of them, sends the whole state (`sync`).
 */

/**
 * @typedef {{ readonly epoch: string, readonly revision: number }} Position A place in the
 *   history of a
 *   group. Each change takes the next revision of its epoch.
 */

/**
 * @typedef {object} Target
 * @property {string} streamName
 * @property {string} groupId
 */

/**
 * @typedef {object} Frame A frame of the service, as far as it is used here.
 * @property {string} type `stream`; others are ignored.
 * @property {string} streamName
 * @property {string} groupId
 * @property {string | null} id
 * @property {number} timestamp Unix milliseconds of the event; 0 in frames that are no event.
 * @property {string} [epoch]
 * @property {number} [revision]
 * @property {string} [subscriptionId]
 * @property {FrameEvent} event
 */

/**
 * @typedef {object} FrameEvent
 * @property {string} type
 * @property {unknown} [data] Of sync: the values; of a change: the new value, or the one removed.
 * @property {readonly string[]} [ids] Of sync: the items, in the order of the values.
 * @property {boolean} [first] Of sync: whether it is the first part.
 * @property {boolean} [last] Of sync: whether it is the last part.
 * @property {Position} [head] Of resumed: the end of the replay that follows.
 * @property {{ readonly type: string, readonly data: unknown }} [event] Of a transient event.
 * @property {string} [code] Of error.
 * @property {string} [reason] Of error.
 * @property {string} [message] Of error.
 */

/**
 * @typedef {object} Change
 * @property {"create" | "update" | "delete"} type
 * @property {string} id
 * @property {unknown} data
 * @property {number} timestamp Unix milliseconds, by the service's clock.
 * @property {number} revision
 */

/**
 * @typedef {{ kind: "nothing" } | { kind: "heartbeat" } | { kind: "resumed" }
 *   | { kind: "sync", timestamp: number }
 *   | { kind: "change", change: Change }
 *   | { kind: "event", type: string, data: unknown }
 *   | { kind: "repeated" }
 *   | { kind: "hole", message: string }
 *   | { kind: "refused", message: string, retryable: boolean }} Outcome The meaning of a frame.
 *   `repeated`: a known change; `hole`: the service broke a promise, and the state is dropped;
 *   `refused`: the service refuses the subscription.
 */

/**
 * @typedef {"apart" | "joining" | "syncing" | "replaying" | "live" | "refused"} Phase
 *   apart: no socket; joining: join sent; syncing: between the parts of a snapshot; replaying:
 *   receiving missed changes; live: up to date.
 */

/**
 * @typedef {object} Saved The state that survives a reload of the page.
 * @property {Position} position
 * @property {readonly (readonly [string, unknown])[]} items
 */

/** @typedef {ReturnType<typeof createGroupFollower>} GroupFollower */

/** @type {Position} */
const NEVER_WRITTEN = { epoch: "", revision: 0 };
/** Codes of temporary refusals. */
const PASSING = ["unavailable", "resource_exhausted"];

/**
 * Follows a group, from scratch or from a saved state.
 *
 * @param {Target} target
 * @param {Saved | undefined} saved
 */
export function createGroupFollower({ streamName, groupId }, saved) {
  /** @type {Phase} */
  let phase = "apart";
  let position = saved?.position;
  /** @type {Map<string, unknown>} */
  let items = new Map(saved?.items);
  /** @type {Map<string, unknown>} Parts of a snapshot that is not complete. */
  let parts = new Map();
  let head = NEVER_WRITTEN;
  let changes = 0;

  /**
   * @param {string} message
   * @returns {Outcome}
   */
  function hole(message) {
    position = undefined;
    return { kind: "hole", message };
  }

  /**
   * @param {Frame} frame
   * @param {Position} at
   * @returns {Outcome}
   */
  function takeSync({ event, timestamp }, at) {
    const { ids = [], data, first = true, last = true } = event;
    if (!Array.isArray(data) || data.length !== ids.length) return hole("a snapshot is torn");
    if (first) parts = new Map();
    else if (phase !== "syncing") return hole("a snapshot does not begin with its first part");
    for (const [index, id] of ids.entries()) parts.set(id, data[index]);
    phase = "syncing";
    if (!last) return { kind: "nothing" };
    // Only a complete snapshot replaces the earlier state.
    items = parts;
    parts = new Map();
    position = at;
    phase = "live";
    return { kind: "sync", timestamp };
  }

  /**
   * @param {Frame} frame
   * @param {Position} at
   * @returns {Outcome}
   */
  function takeResumed({ event }, at) {
    if (position === undefined || !isSame(position, at)) return hole("resumed from elsewhere");
    head = event.head ?? at;
    phase = position.revision < head.revision ? "replaying" : "live";
    return { kind: "resumed" };
  }

  /**
   * @param {Frame} frame
   * @param {Change["type"]} type
   * @param {Position} at
   * @returns {Outcome}
   */
  function takeChange({ id, event, timestamp }, type, at) {
    if (position === undefined || phase === "syncing" || id === null)
      return hole("a change without the state before it");
    if (position.epoch === at.epoch && at.revision <= position.revision)
      return { kind: "repeated" };
    const begins = isSame(position, NEVER_WRITTEN) && at.revision === 1;
    const follows = position.epoch === at.epoch && at.revision === position.revision + 1;
    if (!begins && !follows) return hole(`revision ${at.revision} came after ${position.revision}`);
    position = at;
    changes++;
    if (type === "delete") items.delete(id);
    else items.set(id, event.data);
    if (phase === "replaying" && at.revision >= head.revision) phase = "live";
    const { data } = event;
    return { kind: "change", change: { type, id, data, timestamp, revision: at.revision } };
  }

  /**
   * @param {Position} at
   * @returns {Outcome}
   */
  function takeHeartbeat(at) {
    // It promises that everything up to its position was sent.
    const isTrue =
      position !== undefined && position.epoch === at.epoch && position.revision >= at.revision;
    return isTrue ? { kind: "heartbeat" } : hole(`a heartbeat is ahead, at ${at.revision}`);
  }

  return {
    streamName,
    groupId,
    get phase() {
      return phase;
    },
    /** The position of the state; undefined: none. */
    get position() {
      return position;
    },
    /** Number of changes that were applied. */
    get changes() {
      return changes;
    },
    /** @type {ReadonlyMap<string, unknown>} The items, in creation order. */
    get items() {
      return items;
    },
    /**
     * Creates a join that resumes from the present position.
     *
     * @param {string} subscriptionId
     * @param {object} [presence] What the window shows of itself.
     * @returns {string} The frame.
     */
    join(subscriptionId, presence) {
      phase = "joining";
      const data = { subscriptionId, streamName, groupId, heartbeat: true, parts: true, presence };
      return JSON.stringify({ type: "join", data: { ...data, resume: position } });
    },
    /** The socket is gone. The state is kept. */
    detach() {
      phase = "apart";
      parts = new Map();
    },
    /**
     * Takes a frame of the group. Frames come in the order in which the service sent them.
     *
     * @param {Frame} frame
     * @returns {Outcome}
     */
    take(frame) {
      const { epoch, revision, event } = frame;
      const at = epoch === undefined || revision === undefined ? undefined : { epoch, revision };
      const { type } = event;
      if (type === "unauthorized" || type === "error") {
        // An error without a subscription is about a frame that this page sent, not about the
        // group.
        if (frame.subscriptionId === undefined) return { kind: "nothing" };
        const { code = "", reason, message = "the service refuses" } = event;
        phase = "refused";
        const retryable = PASSING.includes(code) && reason !== "SNAPSHOT_TOO_LARGE";
        return { kind: "refused", message, retryable };
      }
      if (type === "event" && event.event !== undefined) return { kind: "event", ...event.event };
      if (at === undefined) return { kind: "nothing" };
      if (type === "sync") return takeSync(frame, at);
      if (type === "resumed") return takeResumed(frame, at);
      if (type === "heartbeat") return takeHeartbeat(at);
      if (type === "create" || type === "update" || type === "delete")
        return takeChange(frame, type, at);
      // Unknown types of later versions are ignored.
      return { kind: "nothing" };
    },
    /** @returns {Saved | undefined} */
    save() {
      return position && { position, items: [...items] };
    },
  };
}

/**
 * @param {Position} a
 * @param {Position} b
 */
function isSame(a, b) {
  return a.epoch === b.epoch && a.revision === b.revision;
}
