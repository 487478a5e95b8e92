/**
 * Everybody's cursor in everybody's window. Cursors are transient events: they are heard by whoever
 * listens, and kept nowhere.
 */
import { element, make, setText } from "./dom.js";
import { LOBBY } from "./people.js";
import { call, fieldsOf } from "./service.js";

/** @import { Person } from "./person.js" */

/** At most twenty times a second. */
const INTERVAL_MS = 50;
/** A cursor that rests for so long is hidden, in milliseconds. */
const REST_MS = 5000;
const EVENT_TYPE = "cursor";

/**
 * @typedef {{ x: number, y: number } | undefined} Place In parts of the page's width and height, from 0
 *   to 1, because windows differ in size; undefined: outside of the window.
 */

/**
 * @typedef {object} Options
 * @property {string} selfId
 * @property {(id: string) => Person | undefined} other Somebody else who is here.
 * @property {() => boolean} isHeard Whether anybody would hear of our cursor.
 */

/**
 * Shows the cursors of the others, and tells them of ours.
 *
 * @param {Options} options
 */
export function createCursors({ selfId, other, isHeard }) {
  const layer = element("cursors", HTMLElement);
  /** @type {Map<string, { root: HTMLElement, name: HTMLElement, movedMs: number }>} */
  const cursors = new Map();
  const tell = latestOnly(async (/** @type {Place} */ place) => {
    const data = { id: selfId, x: place?.x ?? null, y: place?.y ?? null };
    await call("Send", { ...LOBBY, type: EVENT_TYPE, data });
  });

  document.addEventListener("pointermove", ({ clientX, clientY }) => {
    if (!isHeard()) return;
    const { left, top, width, height } = layer.getBoundingClientRect();
    tell({ x: (clientX - left) / width, y: (clientY - top) / height });
  });
  document.documentElement.addEventListener("pointerleave", () => {
    if (isHeard()) tell(undefined);
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
    /** Hides the cursors that rest, and those of people who left. */
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
 * Makes a function that sends the latest of what it is given: one at a time, and not too often. What
 * fails is not repeated, because the next one makes up for it.
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
