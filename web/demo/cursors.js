/**
 * The cursors of all windows, in every window. Cursors are transient events: subscribers receive
 * them, and they are not stored.
 */
import { element, make, setText } from "./dom.js";
import { LOBBY } from "./people.js";
import { call, fieldsOf } from "./service.js";

/** @import { Person } from "./person.js" */

/** At most twenty times a second. */
const INTERVAL_MS = 50;
/** Time after which a resting cursor is hidden, in milliseconds. */
const REST_MS = 5000;
const EVENT_TYPE = "cursor";

/**
 * @typedef {{ x: number, y: number } | undefined} Place In parts of the page's width and height,
 *   from 0
 *   to 1, because windows differ in size; undefined: outside of the window.
 */

/**
 * @typedef {object} Options
 * @property {string} selfId
 * @property {(id: string) => Person | undefined} other Another person who is present.
 * @property {() => boolean} hasViewers Whether any other window would receive this cursor.
 */

/**
 * Shows the cursors of the other windows, and publishes this window's.
 *
 * @param {Options} options
 */
export function createCursors({ selfId, other, hasViewers }) {
  const layer = element("cursors", HTMLElement);
  /** @type {Map<string, { root: HTMLElement, name: HTMLElement, movedMs: number }>} */
  const cursors = new Map();
  const publish = latestOnly(async (/** @type {Place} */ place) => {
    const data = { id: selfId, x: place?.x ?? null, y: place?.y ?? null };
    await call("Send", { ...LOBBY, type: EVENT_TYPE, data });
  });

  document.addEventListener("pointermove", ({ clientX, clientY }) => {
    if (!hasViewers()) return;
    const { left, top, width, height } = layer.getBoundingClientRect();
    publish({ x: (clientX - left) / width, y: (clientY - top) / height });
  });
  document.documentElement.addEventListener("pointerleave", () => {
    if (hasViewers()) publish(undefined);
  });

  /** @param {string} id */
  function hide(id) {
    cursors.get(id)?.root.remove();
    cursors.delete(id);
  }

  /** @param {Person} person */
  function cursorOf({ id, name, color }) {
    let cursor = cursors.get(id);
    if (cursor === undefined) {
      const root = make("div", "cursor");
      root.dataset["person"] = id;
      cursor = { root, name: make("span", "cursor-name"), movedMs: 0 };
      root.append(make("span", "cursor-arrow"), cursor.name);
      layer.append(root);
      cursors.set(id, cursor);
    }
    setText(cursor.name, name);
    cursor.root.style.setProperty("--person", color);
    cursor.movedMs = performance.now();
    return cursor;
  }

  return {
    /**
     * @param {string} type
     * @param {unknown} data
     */
    event(type, data) {
      if (type !== EVENT_TYPE) return;
      const { id, x, y } = fieldsOf(data);
      if (typeof id !== "string" || id === selfId) return;
      const person = other(id);
      const isPlace = typeof x === "number" && typeof y === "number";
      if (person === undefined || !isPlace) return hide(id);
      const { root } = cursorOf(person);
      root.style.setProperty("--x", `${within(x) * layer.clientWidth}px`);
      root.style.setProperty("--y", `${within(y) * layer.clientHeight}px`);
    },
    /** Hides resting cursors, and those of people who left. */
    sweep() {
      const restingMs = performance.now() - REST_MS;
      for (const [id, { movedMs }] of cursors) {
        if (movedMs < restingMs || other(id) === undefined) hide(id);
      }
    },
  };
}

/** @param {number} part */
function within(part) {
  return Math.min(1, Math.max(0, part));
}

/**
 * Creates a function that sends the latest value: one at a time, at a limited rate. Failures are
 * not retried, because the next value replaces the failed one.
 *
 * @template T
 * @param {(value: T) => Promise<void>} send
 * @returns {(value: T) => void}
 */
function latestOnly(send) {
  /** @type {{ value: T } | undefined} */
  let latest;
  let busy = false;
  const pump = async () => {
    while (latest !== undefined) {
      const { value } = latest;
      latest = undefined;
      const pause = new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
      await send(value).catch(() => {});
      await pause;
    }
    busy = false;
  };
  return (value) => {
    latest = { value };
    if (busy) return;
    busy = true;
    void pump();
  };
}
