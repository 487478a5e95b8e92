import { chmodSync, lstatSync, linkSync, renameSync, unlinkSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { StreamError } from "../../../core/errors.ts";

/** The lock of a folder. */
export interface FolderLock {
  /** Path of the socket that locks it. */
  readonly socket: string;
  /** Releases it. Idempotent. */
  release(): Promise<void>;
}

const SOCKET = "millrace.sock";

// Socket addresses hold 104 bytes on some systems and 108 on others, with the final NUL.
const MAX_SOCKET_PATH = 103;

/**
 * Locks a folder by listening on a Unix socket inside it. The operating system closes the socket
 * when the process ends for any reason; a stale socket file is then recognised by a refused
 * connection, and replaced. On Linux, a folder whose path is too long for a socket address is
 * reached through its open descriptor.
 *
 * @throws StreamError STORE_UNAVAILABLE when another store has it, or a system error.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const place = await socketPlace(folder);
  try {
    for (let attempt = 0; attempt < 3; attempt++) {
      const server = await listen(place.path);
      if (server !== undefined) {
        const own = inodeOf(place.path);
        let released: Promise<void> | undefined;
        return {
          socket: join(folder, SOCKET),
          release() {
            // Closing removes the file of that name, which may belong to another owner by now. A
            // socket without a name locks nothing.
            const isOurs = inodeOf(place.path) === own;
            // The path may use the descriptor, so the server closes first.
            released ??= (isOurs ? close(server) : Promise.resolve()).then(place.close);
            return released;
          },
        };
      }
      const file = inodeOf(place.path);
      if (await answers(place.path)) break;
      if (!removeDead(place.path, file)) break;
    }
  } catch (error) {
    await place.close();
    throw error;
  }
  await place.close();
  throw inUse(folder);
}

/** The refusal of a locked folder. */
export function inUse(folder: string): StreamError {
  return new StreamError(
    "STORE_UNAVAILABLE",
    `The folder ${folder} is in use by another store; stop the process that uses it, or choose another folder.`,
  );
}

/** A path to the socket that is short enough, and the release of its descriptor. */
async function socketPlace(
  folder: string,
): Promise<{ readonly path: string; readonly close: () => Promise<void> }> {
  const path = join(folder, SOCKET);
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return { path, close: async () => {} };
  if (process.platform !== "linux") {
    throw new StreamError(
      "STORE_UNAVAILABLE",
      `The path of the folder ${folder} is too long; it may have up to ${MAX_SOCKET_PATH - SOCKET.length - 1} bytes.`,
    );
  }
  const directory: FileHandle = await open(folder, "r");
  return { path: `/proc/self/fd/${directory.fd}/${SOCKET}`, close: () => directory.close() };
}

/** @returns Undefined when the file exists. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    // Exclusive, because workers of a cluster would share the socket.
    server.listen({ path, exclusive: true }, () => {
      server.unref();
      try {
        chmodSync(path, 0o600);
        resolve(server);
      } catch (error) {
        server.close();
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

/** Whether a process listens on the socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      // Other errors do not prove that the owner is dead, for example a full backlog.
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT");
    });
  });
}

/**
 * Removes the socket file of a dead owner. Two processes may find it at the same time; the later
 * one must not remove the new file of the other, so each checks the file that it has moved away.
 *
 * @returns False when the file does not, or no longer, belong to a dead owner.
 */
function removeDead(path: string, dead: string | undefined): boolean {
  if (dead === undefined) return inodeOf(path) === undefined;
  const taken = `${path}.${process.pid}`;
  try {
    renameSync(path, taken);
  } catch {
    return true;
  }
  const wasDead = inodeOf(taken) === dead;
  if (!wasDead) linkSync(taken, path);
  unlinkSync(taken);
  return wasDead;
}

/** The identity of a socket file; undefined when there is none. */
function inodeOf(path: string): string | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isSocket() ? `${stats.dev}:${stats.ino}:${stats.mtimeMs}` : undefined;
}
