/** Waits for a port to open. A failure is rethrown as a sentence for the operator. */
export async function explainListenError<T>(
  opening: Promise<T>,
  host: string,
  port: number,
): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    const why: Record<string, string> = {
      EADDRINUSE: `port ${port} on ${host} is in use; stop the other program, or choose another with --port (0 picks a free one).`,
      EACCES: `port ${port} on ${host} may not be opened by this user; choose one from 1024 up with --port.`,
      EADDRNOTAVAIL: `host ${host} is not an address of this machine; choose one with --host.`,
      ENOTFOUND: `host ${host} is not known; choose an address of this machine with --host.`,
    };
    throw new Error(why[code] ?? `cannot listen on ${host} port ${port} (${code}).`, {
      cause: error,
    });
  }
}
