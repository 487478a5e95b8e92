/**
 * The people that have the page open. Each window is a person with a generated name.
 */
import { fieldsOf } from "./service.js";

/**
 * @typedef {object} Person
 * @property {string} id
 * @property {string} name
 * @property {string} color As `#rrggbb`; white text is readable on it.
 */

/** White text is readable on all of them, and they are distinguishable on white and on black. */
const COLORS = [
  "#2563eb",
  "#c2410c",
  "#15803d",
  "#a21caf",
  "#b91c1c",
  "#0f766e",
  "#7c3aed",
  "#be185d",
];
const ADJECTIVES = ["Amber", "Brave", "Calm", "Eager", "Gentle", "Lucky", "Quiet", "Swift"];
const ANIMALS = ["Badger", "Dipper", "Hare", "Heron", "Lynx", "Otter", "Owl", "Trout"];
const MAX_NAME_LENGTH = 40;
/** Used in place of an invalid colour. */
const NO_COLOR = "#6b7280";

/**
 * Generates a person.
 *
 * @returns {{ id: string, name: string }}
 */
export function newcomer() {
  const numbers = crypto.getRandomValues(new Uint8Array(16));
  const id = [...numbers].map((number) => number.toString(16).padStart(2, "0")).join("");
  const [first = 0, second = 0] = numbers;
  return { id, name: `${ADJECTIVES[first % 8]} ${ANIMALS[second % 8]}` };
}

/**
 * The least used colour.
 *
 * @param {Iterable<Person>} others
 * @returns {string}
 */
export function freeColor(others) {
  const used = new Map(COLORS.map((color) => [color, 0]));
  for (const { color } of others) used.set(color, (used.get(color) ?? 0) + 1);
  const [color = NO_COLOR] = COLORS.toSorted((a, b) => (used.get(a) ?? 0) - (used.get(b) ?? 0));
  return color;
}

/**
 * Parses the item of a window in the presence of the lobby; undefined: it is not one.
 *
 * @param {unknown} item
 * @returns {Person | undefined}
 */
export function personOf(item) {
  const { id, name, color } = fieldsOf(fieldsOf(item)["data"]);
  if (typeof id !== "string" || typeof name !== "string") return undefined;
  const isColor = typeof color === "string" && /^#[0-9a-f]{6}$/i.test(color);
  return { id, name: name.slice(0, MAX_NAME_LENGTH), color: isColor ? color : NO_COLOR };
}
