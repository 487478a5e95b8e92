import { parse } from "yaml";

/** The environment of a process, or a part of it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** How a scalar is quoted in YAML, which decides its escapes. */
export type Quotes = "none" | "single" | "double";

/** A file whose placeholders are masked, so that they cannot be mistaken for YAML. */
export interface MaskedText {
  /** As long as the original, line by line, so that every offset stays valid. */
  readonly text: string;
  /** Names of the variables in placeholders. */
  readonly variables: ReadonlySet<string>;
  /** Whether a piece of the parsed file has a placeholder, or seems to be meant to have one. */
  isAffected(piece: string): boolean;
  /**
   * Replaces the placeholders in a piece of the parsed file by values.
   *
   * @param piece A scalar, unquoted and unescaped.
   * @param start Offset of the scalar in the file.
   */
  expand(piece: string, start: number, quotes: Quotes, environment: Environment): Expansion;
}

/** The text with values for placeholders, or what is wrong with them. */
export type Expansion = { readonly text: string } | { readonly problem: string };

interface Placeholder {
  readonly offset: number;
  readonly name: string;
  readonly fallback: string | undefined;
}

/** `${NAME}` or `${NAME:default}`, on one line; the default ends with the first `}`. */
const PLACEHOLDER = /\$\{([A-Za-z_]\w*)(?::([^}\n]*))?\}/g;

/**
 * Masks the placeholders of a file with characters that have no meaning in YAML. So a placeholder
 * may stand wherever a plain word may, between brackets too, and its default may hold any of
 * `"#:,[]{`, without changing how the rest of the file is read.
 */
export function maskPlaceholders(source: string): MaskedText {
  const [first, rest] = unusedCharacters(source);
  const placeholders: Placeholder[] = [];
  const text = source.replaceAll(
    PLACEHOLDER,
    (whole: string, name: string, fallback: string | undefined, offset: number) => {
      placeholders.push({ offset, name, fallback });
      return first + rest.repeat(whole.length - 1);
    },
  );
  const mask = new RegExp(`${first}${rest}*`, "g");
  return {
    text,
    variables: new Set(placeholders.map(({ name }) => name)),
    isAffected: (piece) => piece.includes(first) || piece.includes("${"),
    expand(piece, start, quotes, environment) {
      if (piece.includes("${"))
        return {
          problem:
            "has a ${ that begins no placeholder; a placeholder is ${NAME} or ${NAME:default}",
        };
      // The placeholders of a scalar are in the order of the file.
      let next = placeholders.findIndex(({ offset }) => offset >= start);
      const problems: string[] = [];
      const expanded = piece.replaceAll(mask, () => {
        const value = valueOf(placeholders[next++], quotes, environment);
        if (typeof value === "string") return value;
        problems.push(value.problem);
        return "";
      });
      const [problem] = problems;
      return problem === undefined ? { text: expanded } : { problem };
    },
  };
}

function valueOf(
  placeholder: Placeholder | undefined,
  quotes: Quotes,
  environment: Environment,
): string | { readonly problem: string } {
  if (placeholder === undefined) return { problem: "has a placeholder that cannot be read" };
  const { name, fallback } = placeholder;
  if (fallback?.includes("${"))
    return { problem: `has a placeholder within the default of ${name}, which may be plain text` };
  // The default is not shown: it may be a secret.
  if (fallback?.startsWith("-"))
    return {
      problem: `has a placeholder in shell syntax, \${${name}:-default}; here it is \${${name}:default}`,
    };
  const value = environment[name];
  if (value !== undefined) return value;
  if (fallback !== undefined) return unescaped(fallback, quotes);
  return {
    problem: `needs the environment variable ${name}, which is not set; set it, or give it a default: \${${name}:default}`,
  };
}

/** The default, unescaped as its quotes require. */
function unescaped(text: string, quotes: Quotes): string {
  if (quotes === "single") return text.replaceAll("''", "'");
  if (quotes === "none") return text;
  try {
    const read: unknown = parse(`"${text}"`, { logLevel: "error" });
    return typeof read === "string" ? read : text;
  } catch {
    // Quotes within quotes are taken literally.
    return text;
  }
}

/** Two private-use characters that the text does not contain. */
function unusedCharacters(text: string): [string, string] {
  const unused: string[] = [];
  for (let code = 0xe000; unused.length < 2; code++) {
    const character = String.fromCharCode(code);
    if (!text.includes(character)) unused.push(character);
  }
  return [unused[0] ?? "", unused[1] ?? ""];
}
