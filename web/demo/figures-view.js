/**
 * The figures as cards with live plots: one card per item of the group.
 */
import { element, make, setText } from "./dom.js";
import { createHistory, figureOf, readable } from "./figure.js";
import { drawSparkline } from "./sparkline.js";

/** @import { Change, Target } from "./group-follower.js" */
/** @import { Figure, History, Point } from "./figure.js" */

/** @type {Target} Where `npm run demo` publishes. */
export const FIGURES = { streamName: "dashboard-metrics", groupId: "this-machine" };

/** Figure -> its total, which has no separate card. */
const WHOLES = new Map([["memory-used", "memory-total"]]);
const PARTS = new Set(WHOLES.values());
/** Figures come twice a second; silence after which the page shows a note, in milliseconds. */
const QUIET_MS = 5000;

/** @typedef {Readonly<Record<string, readonly Point[]>>} SavedHistories Points by figure. */

/**
 * @typedef {object} Card
 * @property {HTMLLIElement} root
 * @property {HTMLElement} label
 * @property {HTMLElement} number
 * @property {HTMLElement} unit
 * @property {HTMLElement} range
 * @property {HTMLCanvasElement} canvas
 */

/**
 * Shows figures.
 *
 * @param {SavedHistories} [saved] What was shown before the page was reloaded.
 */
export function createFiguresView(saved = {}) {
  const list = element("figures", HTMLUListElement);
  const empty = element("no-figures", HTMLElement);
  const quiet = element("quiet", HTMLElement);
  /** @type {Map<string, Figure>} */
  const figures = new Map();
  /** @type {Map<string, History>} */
  const histories = new Map(
    Object.entries(saved).map(([id, points]) => [id, createHistory(points)]),
  );
  /** @type {Map<string, Card>} */
  const cards = new Map();
  // Figures have times of the service's clock; their age is measured by the page's clock.
  let newestMs = Math.max(
    0,
    ...[...histories.values()].map(({ points }) => points.at(-1)?.[0] ?? 0),
  );
  let newestAtMs = performance.now();
  let isDrawing = false;

  /**
   * @param {string} id
   * @param {unknown} data
   * @param {number} atMs 0: it is not known since when.
   */
  function take(id, data, atMs) {
    const figure = figureOf(data);
    if (figure === undefined) return drop(id);
    figures.set(id, figure);
    let history = histories.get(id);
    if (history === undefined) histories.set(id, (history = createHistory()));
    if (atMs > 0) history.add(atMs, figure.value);
    if (atMs > 0 && atMs >= newestMs) {
      newestMs = atMs;
      newestAtMs = performance.now();
    }
  }

  /** @param {string} id */
  function drop(id) {
    figures.delete(id);
    histories.delete(id);
  }

  /** Draws in the next animation frame, once for all figures that have changed until then. */
  function draw() {
    if (isDrawing) return;
    isDrawing = true;
    requestAnimationFrame(() => {
      isDrawing = false;
      drawAll();
    });
  }

  function drawAll() {
    const nowMs = newestMs + (performance.now() - newestAtMs);
    empty.hidden = figures.size > 0;
    const isQuiet = figures.size > 0 && nowMs - newestMs > QUIET_MS;
    quiet.hidden = !isQuiet;
    if (isQuiet) {
      const time = new Date(newestMs).toLocaleTimeString();
      setText(quiet, `No new figures since ${time}. They come while npm run demo runs.`);
    }
    for (const [id, card] of cards) {
      if (figures.has(id)) continue;
      card.root.remove();
      cards.delete(id);
    }
    for (const [id, figure] of figures) {
      if (PARTS.has(id)) continue;
      let card = cards.get(id);
      if (card === undefined) {
        card = createCard(id);
        cards.set(id, card);
        list.append(card.root);
      }
      show(card, figure, figures.get(WHOLES.get(id) ?? ""), histories.get(id), nowMs);
    }
  }

  return {
    /**
     * Replaces all figures.
     *
     * @param {ReadonlyMap<string, unknown>} items
     * @param {number} timestamp As of when; 0: it is not known.
     */
    replace(items, timestamp) {
      for (const id of figures.keys()) if (!items.has(id)) drop(id);
      for (const [id, data] of items) take(id, data, timestamp);
      draw();
    },
    /** @param {Change} change */
    change({ type, id, data, timestamp }) {
      if (type === "delete") drop(id);
      else take(id, data, timestamp);
      draw();
    },
    draw,
    /** @returns {SavedHistories} */
    save: () => Object.fromEntries([...histories].map(([id, { points }]) => [id, points])),
  };
}

/** @param {string} id */
function createCard(id) {
  const root = make("li", "card figure");
  root.dataset["figure"] = id;
  const label = make("span", "figure-label");
  const value = make("span", "figure-value");
  const number = make("span", "figure-number");
  const unit = make("span", "figure-unit");
  value.append(number, " ", unit);
  const canvas = make("canvas", "sparkline");
  // The text around it describes its content.
  canvas.setAttribute("aria-hidden", "true");
  const range = make("span", "figure-range");
  root.append(label, value, canvas, range);
  return { root, label, number, unit, range, canvas };
}

/**
 * @param {Card} card
 * @param {Figure} figure
 * @param {Figure | undefined} whole What it is a part of.
 * @param {History | undefined} history
 * @param {number} nowMs
 */
function show(card, figure, whole, history, nowMs) {
  const { number, unit } = readable(figure.value, figure.unit);
  setText(card.label, figure.label);
  setText(card.number, number);
  setText(card.unit, whole === undefined ? unit : `${unit} of ${text(whole.value, whole.unit)}`);
  const range = history?.range(nowMs);
  if (history === undefined || range === undefined) {
    setText(card.range, "nothing in the last 2 min");
    return;
  }
  const [min, max] = [readable(range.min, figure.unit), readable(range.max, figure.unit)];
  const minUnit = min.unit === max.unit ? "" : ` ${min.unit}`;
  setText(card.range, `min ${min.number}${minUnit} · max ${max.number} ${max.unit}`);
  // Some room above the highest point, and no magnified noise when the value is nearly constant.
  const top = figure.unit === "%" ? 100 : (whole?.value ?? Math.max(1, range.max * 1.2));
  drawSparkline(card.canvas, history.points, nowMs, top);
}

/**
 * @param {number} value
 * @param {string} unit
 */
function text(value, unit) {
  const readably = readable(value, unit);
  return `${readably.number} ${readably.unit}`;
}
