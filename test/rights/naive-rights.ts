/**
 * What rules allow, decided anew for each question and as literally as the documentation puts it:
 * every pattern becomes a list of plain texts, which are compared character by character. Shares no
 * code with src/rights.
 */
export interface NaiveRule {
  readonly actions: readonly string[];
  readonly stream?: string;
  readonly group?: string;
  readonly item?: string;
}

export interface NaiveSubject {
  readonly user?: string | undefined;
  readonly claims?: unknown;
  readonly context?: unknown;
}

/** Index of the first rule that allows it; -1 when none does. */
export function naiveIndex(
  rules: readonly NaiveRule[],
  subject: NaiveSubject,
  action: string,
  resource: { stream?: string | undefined; group?: string | undefined; item?: string | undefined },
): number {
  return rules.findIndex((rule) => {
    const isAllowed = rule.actions.some(
      (each) => each === "*" || each === "work" || each === action,
    );
    if (!isAllowed) return false;
    return (["stream", "group", "item"] as const).every((part) =>
      matches(rule[part] ?? "*", resource[part], subject),
    );
  });
}

function matches(pattern: string, name: string | undefined, subject: NaiveSubject): boolean {
  if (pattern === "*") return true;
  if (name === undefined) return false;
  const isPrefix = pattern[pattern.length - 1] === "*";
  const texts = expand(isPrefix ? pattern.substring(0, pattern.length - 1) : pattern, subject);
  return texts.some((text) => {
    if (isPrefix ? name.length < text.length : name.length !== text.length) return false;
    for (let i = 0; i < text.length; i++) if (text[i] !== name[i]) return false;
    return true;
  });
}

/** All texts that a pattern stands for: the first placeholder is replaced, then the rest. */
function expand(pattern: string, subject: NaiveSubject): string[] {
  const open = pattern.indexOf("{");
  if (open < 0) return [pattern];
  const close = pattern.indexOf("}", open);
  const rests = expand(pattern.substring(close + 1), subject);
  const heads = valuesOf(pattern.substring(open + 1, close), subject);
  return heads.flatMap((head) => rests.map((rest) => pattern.substring(0, open) + head + rest));
}

function valuesOf(path: string, subject: NaiveSubject): string[] {
  let values: unknown[] = [JSON.parse(JSON.stringify(subject))];
  for (const step of path.split(".")) {
    values = values.flatMap((value) => {
      if (value === null || typeof value !== "object" || Array.isArray(value)) return [];
      return Object.entries(value)
        .filter(([key]) => key === step)
        .map(([, member]) => member as unknown);
    });
  }
  return values.flat(1).flatMap((value) => {
    if (typeof value === "string" && value.length > 0) return [value];
    if (typeof value !== "number") return [];
    return value >= -(2 ** 53 - 1) && value <= 2 ** 53 - 1 ? [`${value}`] : [];
  });
}
