/** A notation for amounts with a unit, such as `15s` or `8MiB`. */
export interface Unit {
  /** The form of such a text. */
  readonly pattern: RegExp;
  /**
   * The amount, in milliseconds or bytes; NaN when the text is malformed, or not a whole number.
   */
  parse(text: string): number;
  /** The shortest exact text of an amount. */
  format(amount: number): string;
}

/** Durations, in milliseconds: `500ms`, `15s`, `1.5h`. */
export const DURATION: Unit = unitOf({
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
});

/** Sizes, in bytes: `512B`, `64KiB`, `8MiB`. */
export const SIZE: Unit = unitOf({
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
});

function unitOf(factors: Readonly<Record<string, number>>): Unit {
  const names = Object.keys(factors).join("|");
  const pattern = new RegExp(`^(\\d{1,15}(?:\\.\\d{1,6})?) ?(${names})$`);
  const largestFirst = Object.entries(factors).toReversed();
  return {
    pattern,
    parse(text) {
      const [, number, unit = ""] = pattern.exec(text) ?? [];
      const amount = Number(number) * (factors[unit] ?? Number.NaN);
      const whole = Math.round(amount);
      // 1.1s is 1100.0000000000002 ms.
      return Math.abs(amount - whole) < 1e-3 && Number.isSafeInteger(whole) ? whole : Number.NaN;
    },
    format(amount) {
      const fitting = largestFirst.find(([, factor]) => amount > 0 && amount % factor === 0);
      const [unit, factor] = fitting ?? largestFirst.at(-1) ?? ["", 1];
      return `${amount / factor}${unit}`;
    },
  };
}
