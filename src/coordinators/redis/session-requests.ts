import { randomUUID } from "node:crypto";
import { waitAtMost } from "../../timers/timers.ts";
import type { FleetCommands } from "./fleet-commands.ts";

/**
 * How long another process may take to release a session, in milliseconds. One that is alive but
 * out of touch with Redis delivers nothing after its lease, and starts no calls of the session.
 */
export const RELEASE_MS = 1000;

/** Dependencies of the requests. */
export interface SessionRequestsOptions {
  /** Id of this process. */
  readonly process: string;
  /** The channel of a process. */
  readonly channelOf: (process: string) => string;
  readonly publish: FleetCommands["publish"];
  /** Releases a session of this process. */
  readonly release: (id: string) => Promise<void>;
  /** A message of this process to itself has come. */
  readonly onProof: (proof: string) => void;
  readonly onProblem: (error: unknown) => void;
}

/** Requests between processes to release sessions. */
export interface SessionRequests {
  /**
   * Has another process release a session. Resolves when it has, or does not respond.
   *
   * @returns When it starts no more calls of the session, by the monotonic clock of this process.
   */
  release(id: string, holder: string): Promise<number>;
  /** Sends a message to this process itself. */
  prove(proof: string): Promise<unknown>;
  /** A message of another process, or of this one. */
  receive(message: Buffer): void;
  /** Waits for no process any more. */
  close(): void;
}

/** Sends requests to other processes, and carries out theirs. */
export function createSessionRequests(options: SessionRequestsOptions): SessionRequests {
  const { process, channelOf, publish, release, onProof, onProblem } = options;
  /** Those that are not confirmed yet. */
  const open = new Map<string, () => void>();

  const carryOut = async (id: string, requester: string, request: string) => {
    try {
      await release(id);
      await publish(channelOf(requester), `released ${request}`, true);
    } catch (error) {
      // It does not wait for long.
      onProblem(error);
    }
  };

  return {
    async release(id, holder) {
      const request = randomUUID();
      const released = new Promise<void>((resolve) => open.set(request, resolve));
      try {
        const message = `release ${id} ${process} ${request}`;
        const receivers = await publish(channelOf(holder), message, true);
        // Without a receiver, the process is gone or out of touch.
        if (receivers === 0) return performance.now() + RELEASE_MS;
        await waitAtMost(RELEASE_MS, released);
        return -Infinity;
      } finally {
        open.delete(request);
      }
    },
    prove: (proof) => publish(channelOf(process), `proof ${proof}`, true),
    receive(message) {
      const [kind, id = "", requester = "", request = ""] = message.toString().split(" ");
      if (kind === "release") void carryOut(id, requester, request);
      else if (kind === "released") open.get(id)?.();
      else if (kind === "proof") onProof(id);
    },
    close() {
      for (const confirm of open.values()) confirm();
    },
  };
}
