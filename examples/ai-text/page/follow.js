// Follows the items of a group over a plain WebSocket. It reconnects by itself, and goes on from the
// revision that it has.
import { applyOps } from "millrace/ops";

/** Waits before another attempt, in milliseconds: doubled up to the longest. */
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4000;
/** The service sends a heartbeat every 15 s. After two of them a silent connection is dead. */
const SILENCE_MS = 35_000;
const OPEN_MS = 10_000;

/**
 * @typedef {object} State What is known of the group. It survives a reload.
 * @property {{ epoch: string, revision: number } | undefined} position
 * @property {[id: string, value: any][]} items In the order of their creation.
 */

/**
 * @param {object} target
 * @param {string} target.url
 * @param {string} target.streamName
 * @param {string} target.groupId
 * @param {State} [target.saved]
 * @param {object} listener
 * @param {(items: Map<string, any>) => void} listener.onItems
 * @param {(status: "away" | "live" | "refused", frames: Counts) => void} listener.onStatus
 */
export function follow({ url, streamName, groupId, saved }, { onItems, onStatus }) {
  let position = saved?.position;
  let items = new Map(saved?.items);
  /** @type {Map<string, any>} Parts of a snapshot that is not complete. */
  let parts = new Map();
  /** @type {WebSocket | undefined} */
  let socket;
  let waitMs = FIRST_WAIT_MS;
  let timer = 0;
  const counts = { snapshots: 0, resumes: 0, deltas: 0, bytes: 0 };

  function connect() {
    const opened = new WebSocket(url);
    socket = opened;
    opened.addEventListener("open", join);
    opened.addEventListener("message", ({ data }) => opened === socket && receive(data));
    opened.addEventListener("close", () => opened === socket && lose());
    wait(lose, OPEN_MS);
  }

  function join() {
    const extensions = { resume: position, deltas: true, heartbeat: true, parts: true };
    const data = { subscriptionId: "all", streamName, groupId, ...extensions };
    socket?.send(JSON.stringify({ type: "join", data }));
    wait(lose, SILENCE_MS);
  }

  function lose() {
    const lost = socket;
    socket = undefined;
    lost?.close();
    // Half of the wait is random, so that pages do not all come back at once.
    wait(connect, waitMs * (0.5 + Math.random() / 2));
    waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
    onStatus("away", counts);
  }

  /**
   * @param {() => void} next
   * @param {number} ms
   */
  function wait(next, ms) {
    clearTimeout(timer);
    timer = setTimeout(next, ms);
  }

  function live() {
    waitMs = FIRST_WAIT_MS;
    onStatus("live", counts);
  }

  /** Asks for the whole state again. */
  function startOver() {
    position = undefined;
    join();
  }

  /** @param {string} text */
  function receive(text) {
    counts.bytes += text.length;
    wait(lose, SILENCE_MS);
    const { epoch, revision, id, event } = JSON.parse(text);
    switch (event?.type) {
      case "sync":
        if (event.first) parts = new Map();
        for (const [index, item] of event.ids.entries()) parts.set(item, event.data[index]);
        if (!event.last) return;
        counts.snapshots++;
        items = parts;
        position = { epoch, revision };
        onItems(items);
        return live();
      case "resumed":
        counts.resumes++;
        return live();
      case "create":
      case "update":
      case "delete":
        change(event, id, { epoch, revision });
        return onStatus("live", counts);
      case "error":
        // For example, the store cannot be read for now.
        if (["unavailable", "resource_exhausted"].includes(event.code)) return lose();
        return onStatus("refused", counts);
      case "unauthorized":
        return onStatus("refused", counts);
    }
  }

  /**
   * @param {{ type: string, data?: any, ops?: unknown[] }} event
   * @param {string} id
   * @param {{ epoch: string, revision: number }} next
   */
  function change({ type, data, ops }, id, next) {
    // Waits for the state.
    if (position === undefined) return;
    // A group that was never written has no epoch.
    const isSame = position.epoch === next.epoch || position.epoch === "";
    if (!isSame || next.revision !== position.revision + 1) return startOver();
    try {
      if (type === "delete") items.delete(id);
      else items.set(id, ops === undefined ? data : applyOps(items.get(id), ops));
    } catch {
      // The steps are not those of the value that is here.
      return startOver();
    }
    if (ops !== undefined) counts.deltas++;
    position = next;
    onItems(items);
  }

  addEventListener("offline", lose);
  addEventListener("online", () => socket === undefined && connect());
  connect();

  return {
    /** @returns {State} */
    save: () => ({ position, items: [...items] }),
  };
}

/** @typedef {{ snapshots: number, resumes: number, deltas: number, bytes: number }} Counts */
