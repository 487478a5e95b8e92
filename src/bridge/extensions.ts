import type { JoinFrame } from "./client-frame.ts";

/**
 * Whether a frame uses an extension of the original protocol. A client that uses one reads error
 * frames and rejoins by itself. A client without extensions rejoins only after its socket has
 * closed.
 */
export function usesExtension({ resume, heartbeat, parts }: JoinFrame): boolean {
  return resume !== undefined || heartbeat || parts;
}
