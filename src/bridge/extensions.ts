import type { JoinFrame } from "./client-frame.ts";

/**
 * What a client has shown of the protocol that it speaks: nothing before its first frame; then the
 * original one, or that with extensions; or it has begun with hello.
 */
export type Dialect = "unknown" | "original" | "extended" | "hello";

/**
 * Whether a frame uses an extension of the original protocol. A client that uses one reads error
 * frames and rejoins by itself. A client without extensions rejoins only after its socket has
 * closed.
 */
export function usesExtension(join: JoinFrame): boolean {
  const { resume, heartbeat, parts, items, window, deltas } = join;
  return resume !== undefined || heartbeat || parts || items || window !== undefined || deltas;
}
