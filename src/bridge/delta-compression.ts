import { constants, deflateRawSync } from "node:zlib";
import type { PerMessageDeflateOptions } from "ws";
import { createRecent } from "../wire/response/encode-once.ts";
import { compressedFrame, contentOf } from "./text-frame.ts";

/** Longest frame that is compressed, in bytes. Longer ones save little: their steps are the bulk. */
const MAX_FRAME_BYTES = 1024;
/** How many forms of one frame are made: one for each frame that sockets received before it. */
const MAX_FORMS = 4;
/** The window of the compression: one frame and the one before. */
const WINDOW_BITS = 11;

/** The compression that is negotiated: the client's own frames have no context. */
export const COMPRESSION: PerMessageDeflateOptions = {
  serverNoContextTakeover: false,
  serverMaxWindowBits: WINDOW_BITS,
  clientNoContextTakeover: true,
};

/**
 * Whether a client asks for compressed deltas, by its URL. Not by its offer of the extension: every
 * browser makes that one, and then compresses what it sends, which the service would have to inflate.
 */
export function asksForCompression(url = ""): boolean {
  const query = url.split("?", 2)[1];
  return query !== undefined && new URLSearchParams(query).get("compress") === "deltas";
}

/** Compression ends with an empty block, whose last bytes are not sent (RFC 7692, 7.2.1). */
const TAIL_BYTES = 4;

/** The compressed forms of a recent frame, by the frame before. */
const formsOf = createRecent(
  (_frame: Buffer) => new Map<Buffer | undefined, Buffer>(),
  (_forms, { byteLength }) => 2 * byteLength,
);

/**
 * Compresses the deltas that one socket receives, as `permessage-deflate` (RFC 7692) with context:
 * each refers to the one before, so that of a frame little more than its new text remains.
 *
 * The state of a socket is the frame that it received before. Sockets that received the same one
 * share the next: it is compressed once, not for each socket. Other frames are not compressed, and
 * do not count as context.
 */
export class DeltaCompression {
  #before: Buffer | undefined;

  /**
   * A frame in the form to send to this socket next.
   *
   * @param frame A whole WebSocket frame of a text, the same object for all sockets.
   */
  next(frame: Buffer): Buffer {
    if (frame.byteLength > MAX_FRAME_BYTES) return frame;
    const known = formsOf(frame);
    let form = known.get(this.#before);
    if (form === undefined) {
      // Sockets with too many histories: compressing for each would cost more than sending.
      if (known.size >= MAX_FORMS) return frame;
      known.set(this.#before, (form = compressed(frame, this.#before)));
    }
    this.#before = frame;
    return form;
  }
}

function compressed(frame: Buffer, before: Buffer | undefined): Buffer {
  const deflated = deflateRawSync(contentOf(frame), {
    ...(before === undefined ? {} : { dictionary: contentOf(before) }),
    windowBits: WINDOW_BITS,
    memLevel: 1,
    finishFlush: constants.Z_SYNC_FLUSH,
  });
  return compressedFrame(deflated.subarray(0, -TAIL_BYTES));
}
