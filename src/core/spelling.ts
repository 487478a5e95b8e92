/** The candidate that a misspelt name most likely means; undefined when none is close. */
export function closest(name: string, candidates: Iterable<string>): string | undefined {
  // A short name must be hit more exactly, and a long one is not worth comparing.
  const most = name.length > 64 ? 0 : Math.min(3, Math.floor(name.length / 3));
  let best: string | undefined;
  let bestDistance = most + 1;
  for (const candidate of candidates) {
    const distance = editDistance(plain(name), plain(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Case and separators are what people mix up most: they do not count. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[_\-. ]/g, "");
}

/** Least number of inserted, removed or replaced characters that turns one text into the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** The candidate that a misspelt name most likely means: the same letters in another order, or nearly the same. */
export function closestKey(name: string, candidates: readonly string[]): string | undefined {
  // In a short name, two letters that changed places are too much of a difference for the other rule.
  return candidates.find((other) => letters(other) === letters(name)) ?? closest(name, candidates);
}

function letters(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z]/g, "")
    .split("")
    .sort()
    .join("");
}
