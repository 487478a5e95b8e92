import { claimText, claimAt } from "./json-path.ts";

/** A caller as patterns see it: the values that placeholders stand for. */
export interface Subject {
  /** Id of the user; undefined for callers that are not users. */
  readonly user?: string | undefined;
  /** Claims of the token, as JSON. */
  readonly claims?: unknown;
  /** Context that `auth_function` returned, as JSON. */
  readonly context?: unknown;
}

/**
 * Decides whether a name matches. `undefined` stands for all names, and only a pattern for all
 * names matches it.
 */
export type Matcher = (name: string | undefined) => boolean;

/** A pattern for names: a name, or the beginning of names, with placeholders. */
export interface Pattern {
  /** As written. */
  readonly text: string;
  /** Whether every name matches. */
  readonly isAny: boolean;
  /** Whether it depends on the caller. */
  readonly hasPlaceholders: boolean;
  /**
   * Whether it has a placeholder with nothing between it and the final `*`, or the next
   * placeholder: then a name of one user may match for another, as `anna` matches `{user}*` of
   * `ann`.
   */
  readonly isBlurred: boolean;
  /** Fixed texts between the placeholders. */
  readonly literals: readonly string[];
  /** Puts the values of a caller in the place of the placeholders. */
  bind(subject: Subject): Matcher;
}

const always: Matcher = () => true;
const never: Matcher = () => false;

/** The pattern for all names. */
export const ANY_NAME: Pattern = {
  text: "*",
  isAny: true,
  hasPlaceholders: false,
  isBlurred: false,
  literals: [],
  bind: () => always,
};

/** Part of a pattern: fixed text, or the path of a value. */
type Piece = string | readonly string[];

const PLACEHOLDER = /\{([^{}]*)\}/g;
const PATH = /^(?:user|(?:claims|context)(?:\.[^.{}]+)+)$/;
/** Most names that one pattern may stand for, for one caller. A pattern with more matches none. */
const MAX_NAMES = 10_000;

/**
 * Compiles a pattern. `*` alone is every name; otherwise the pattern is a name, or the beginning of
 * names when it ends in `*`.
 *
 * `{user}`, `{claims.a.b}` and `{context.a}` stand for values of the caller. A value is taken
 * literally, whatever characters it has; a list stands for each of its entries. When a value is
 * missing, empty, or neither text nor a number that JSON holds exactly, no name matches.
 *
 * @throws SyntaxError with the problem as a clause, such as "is empty; it may be a name".
 */
export function compilePattern(text: string): Pattern {
  if (text === "") throw new SyntaxError("is empty; it may be a name, or * for all names");
  if (text === "*") return ANY_NAME;
  const isPrefix = text.endsWith("*");
  const pieces = piecesOf(isPrefix ? text.slice(0, -1) : text);
  const matcherFor = (subject: Subject) => matcherOf(namesOf(pieces, subject), isPrefix);
  const hasPlaceholders = pieces.some((piece) => typeof piece !== "string");
  // Callers share the matcher of a pattern that does not depend on them.
  const shared = hasPlaceholders ? undefined : matcherFor({});
  return {
    text,
    isAny: false,
    hasPlaceholders,
    isBlurred: pieces.some((piece, index) => {
      if (typeof piece === "string") return false;
      return index === pieces.length - 1 ? isPrefix : typeof pieces[index + 1] !== "string";
    }),
    literals: pieces.filter((piece) => typeof piece === "string"),
    bind: (subject) => shared ?? matcherFor(subject),
  };
}

function matcherOf(names: readonly string[], isPrefix: boolean): Matcher {
  const [only] = names;
  if (only === undefined) return never;
  if (isPrefix)
    return (name) => name !== undefined && names.some((start) => name.startsWith(start));
  if (names.length === 1) return (name) => name === only;
  const all = new Set(names);
  return (name) => name !== undefined && all.has(name);
}

function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const { 0: placeholder, 1: path = "", index } of text.matchAll(PLACEHOLDER)) {
    if (!PATH.test(path)) {
      throw new SyntaxError(
        `has an unknown placeholder ${shown(placeholder)}; it may be {user}, {claims.NAME} or {context.NAME}`,
      );
    }
    pieces.push(text.slice(end, index), path.split("."));
    end = index + placeholder.length;
  }
  pieces.push(text.slice(end));
  for (const piece of pieces) {
    if (typeof piece !== "string") continue;
    if (piece.includes("*")) throw new SyntaxError("has a * before its end; it may end in one *");
    if (/[{}]/.test(piece))
      throw new SyntaxError("has a brace without its counterpart; braces enclose placeholders");
  }
  return pieces.filter((piece) => piece !== "");
}

function shown(placeholder: string): string {
  return placeholder.length > 64 ? `${placeholder.slice(0, 64)}…` : placeholder;
}

/** All names, or beginnings of names, that a pattern stands for. */
function namesOf(pieces: readonly Piece[], subject: Subject): string[] {
  let names = [""];
  for (const piece of pieces) {
    const texts = typeof piece === "string" ? [piece] : textsAt(piece, subject);
    if (names.length * texts.length > MAX_NAMES) return [];
    names = names.flatMap((name) => texts.map((text) => name + text));
  }
  return names;
}

function textsAt([root, ...path]: readonly string[], subject: Subject): string[] {
  const value = claimAt(subject[root as keyof Subject], path);
  const entries: readonly unknown[] = Array.isArray(value) ? value : [value];
  return entries.map(claimText).filter((text) => text !== undefined);
}
