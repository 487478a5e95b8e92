/**
 * A figure's last two minutes, drawn as a line over a soft area.
 */
import { SHOWN_MS } from "./figure.js";

/** @import { Point } from "./figure.js" */

const LINE_WIDTH = 1.75;
/** Radius of the dot at the end of the line. */
const DOT_RADIUS = 2.5;
/** A longer silence than this is a gap in the line, in milliseconds. */
const GAP_MS = 5000;

/**
 * Draws the line. Its colour is the text colour of the canvas, which the style sheet sets.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {readonly Point[]} points In the order of time.
 * @param {number} nowMs The right edge.
 * @param {number} top The value of the upper edge; the lower edge is 0.
 */
export function drawSparkline(canvas, points, nowMs, top) {
  const context = canvas.getContext("2d");
  const { clientWidth: width, clientHeight: height } = canvas;
  if (context === null || width === 0 || height === 0) return;
  fit(canvas, width, height);
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, width, height);

  const leftMs = nowMs - SHOWN_MS;
  const usable = height - 2 * DOT_RADIUS;
  /** @param {number} atMs */
  const x = (atMs) => ((atMs - leftMs) / SHOWN_MS) * (width - DOT_RADIUS);
  /** @param {number} value */
  const y = (value) => height - DOT_RADIUS - Math.min(1, Math.max(0, value / top)) * usable;

  const { color } = getComputedStyle(canvas);
  context.strokeStyle = color;
  context.fillStyle = color;
  context.lineWidth = LINE_WIDTH;
  context.lineJoin = "round";
  context.lineCap = "round";
  for (const run of runsOf(points.filter(([atMs]) => atMs >= leftMs - GAP_MS))) {
    context.beginPath();
    for (const [atMs, value] of run) context.lineTo(x(atMs), y(value));
    context.stroke();
    context.lineTo(x(run.at(-1)?.[0] ?? 0), height);
    context.lineTo(x(run[0]?.[0] ?? 0), height);
    context.globalAlpha = 0.14;
    context.fill();
    context.globalAlpha = 1;
  }
  const last = points.at(-1);
  if (last === undefined || last[0] < leftMs) return;
  context.beginPath();
  context.arc(x(last[0]), y(last[1]), DOT_RADIUS, 0, 2 * Math.PI);
  context.fill();
}

/**
 * Adjusts the pixels of a canvas to the screen.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
function fit(canvas, width, height) {
  const [wide, high] = [
    Math.round(width * devicePixelRatio),
    Math.round(height * devicePixelRatio),
  ];
  if (canvas.width === wide && canvas.height === high) return;
  canvas.width = wide;
  canvas.height = high;
}

/**
 * Parts of the line without a gap.
 *
 * @param {readonly Point[]} points
 * @returns {Point[][]}
 */
function runsOf(points) {
  /** @type {Point[][]} */
  const runs = [];
  let beforeMs = Number.NEGATIVE_INFINITY;
  for (const point of points) {
    if (point[0] - beforeMs > GAP_MS) runs.push([]);
    runs.at(-1)?.push(point);
    beforeMs = point[0];
  }
  return runs;
}
