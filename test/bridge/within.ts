/** The longest wait of a test, in milliseconds. */
const CAP_MS = 10_000;

/** Waits for a promise, and fails with the description when it takes too long. */
export async function within<T>(promise: Promise<T>, what: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const cap = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${CAP_MS} ms for ${what()}.`)), CAP_MS);
  });
  try {
    return await Promise.race([promise, cap]);
  } finally {
    clearTimeout(timer);
  }
}
