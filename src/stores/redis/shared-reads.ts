/** One read, which is to share commands with others. */
interface Waiting<Request, Result> {
  readonly request: Request;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Reads that share commands: while some are under way, later ones wait, and then go together. So a
 * burst of them costs little more than a few, and a single one waits for nobody.
 *
 * @param most How many are read at once.
 * @param readAll Reads some. @returns their results, in the same order.
 */
export function sharedReads<Request, Result>(
  most: number,
  readAll: (requests: readonly Request[]) => Promise<readonly Result[]>,
): (request: Request) => Promise<Result> {
  const waiting: Waiting<Request, Result>[] = [];
  let isReading = false;
  const work = async () => {
    isReading = true;
    // Those that are made in the same turn go together, too.
    await Promise.resolve();
    while (waiting.length > 0) {
      const some = waiting.splice(0, most);
      try {
        const results = await readAll(some.map(({ request }) => request));
        for (const [i, { resolve }] of some.entries()) resolve(results[i] as Result);
      } catch (error) {
        for (const { reject } of some) reject(error);
      }
    }
    isReading = false;
  };
  return async (request) =>
    new Promise((resolve, reject) => {
      waiting.push({ request, resolve, reject });
      if (!isReading) void work();
    });
}
