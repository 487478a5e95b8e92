import type { JoinFrame } from "./client-frame.ts";

/**
 * Whether a frame uses an extension of the original dialect. A client that uses one reads error frames and
 * joins again by itself. One that never does joins again only after its socket has closed.
 */
export function usesExtension({ resume, heartbeat, parts }: JoinFrame): boolean {
  return resume !== undefined || heartbeat || parts;
}
