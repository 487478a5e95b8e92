/**
 * What survives a reload: who we are, what we know, what is drawn. It lies in the window's own session
 * storage from the moment the page goes until it comes back, and never while it is shown: a window that
 * is duplicated must not become the same person twice.
 */
import { fieldsOf } from "./service.js";

/** @import { Saved as SavedGroup } from "./group-follower.js" */
/** @import { SavedHistories } from "./figures-view.js" */
/** @import { Self } from "./people.js" */

const KEY = "millrace-demo";
/** Counted up when the shape changes: what an older page left is of no use then. */
const VERSION = 1;

/**
 * @typedef {object} SavedPage
 * @property {Self} self
 * @property {Readonly<Record<"figures" | "lobby" | "board", SavedGroup | undefined>>} groups
 * @property {SavedHistories} histories
 * @property {string | undefined} draft
 */

/**
 * Takes what was saved, if anything was.
 *
 * @returns {SavedPage | undefined}
 */
export function loadSaved() {
  try {
    const text = sessionStorage.getItem(KEY) ?? "null";
    sessionStorage.removeItem(KEY);
    /** @type {unknown} */
    const saved = JSON.parse(text);
    if (fieldsOf(saved)["version"] === VERSION) return /** @type {SavedPage} */ (saved);
  } catch {
    // Storage may be forbidden. The page then starts from nothing.
  }
  return undefined;
}

/**
 * Saves.
 *
 * @param {SavedPage} page
 */
export function savePage(page) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ version: VERSION, ...page }));
  } catch {
    // As above, or it is full.
  }
}
