import { constants, inflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeltaCompression, asksForCompression } from "../../src/bridge/delta-compression.ts";
import { contentOf, textFrame } from "../../src/bridge/text-frame.ts";

const TEXT = 0x81;
const COMPRESSED_TEXT = 0xc1;
/** What the receiver appends to each compressed message (RFC 7692, 7.2.2). */
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

/** A socket with compression, and the texts that its client reads of the frames it received. */
function openSocket() {
  const compression = new DeltaCompression();
  let stream = Buffer.alloc(0);
  let inflated = 0;
  const texts: string[] = [];
  let compressed = 0;
  return {
    texts,
    get compressed() {
      return compressed;
    },
    send(frame: Buffer): Buffer {
      const form = compression.next(frame);
      if (form[0] === TEXT) texts.push(contentOf(form).toString());
      else {
        expect(form[0]).toBe(COMPRESSED_TEXT);
        compressed++;
        // One context over all compressed messages.
        stream = Buffer.concat([stream, contentOf(form), TAIL]);
        const all = inflateRawSync(stream, { windowBits: 11, finishFlush: constants.Z_SYNC_FLUSH });
        texts.push(all.subarray(inflated).toString());
        inflated = all.byteLength;
      }
      return form;
    },
  };
}

const frameOf = (i: number) =>
  textFrame([`{"epoch":"1f47cfc1-2319-4a9b-a768-21f65506fc9a","revision":${i},"ops":["é ${i}"]}`]);

describe("compressed deltas", () => {
  it("are read as they were written by every socket, whatever each received before", () => {
    const frames = fc.array(fc.string({ unit: "binary", maxLength: 900 }), {
      minLength: 1,
      maxLength: 12,
    });
    // Which sockets receive each frame, as bits.
    const receivers = fc.array(fc.nat({ max: 31 }), { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(frames, receivers, (texts, who) => {
        const sockets = Array.from({ length: 5 }, openSocket);
        const expected: string[][] = sockets.map(() => []);
        for (const [i, text] of texts.entries()) {
          const frame = textFrame([text.toWellFormed()]);
          for (const [s, socket] of sockets.entries()) {
            if ((((who[i % who.length] as number) >> s) & 1) === 0) continue;
            socket.send(frame);
            expected[s]?.push(text.toWellFormed());
          }
        }
        expect(sockets.map((socket) => socket.texts)).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });

  it("are made once for all sockets that received the same delta before", () => {
    const sockets = Array.from({ length: 3 }, openSocket);
    for (let i = 0; i < 5; i++) {
      const frame = frameOf(i);
      const [first, ...others] = sockets.map((socket) => socket.send(frame));
      expect(first?.byteLength).toBeLessThan(i === 0 ? 100 : 20);
      for (const other of others) expect(other).toBe(first);
    }
  });

  it("are made for at most four histories: sockets with another one receive them uncompressed", () => {
    const sockets = Array.from({ length: 6 }, openSocket);
    for (const [i, socket] of sockets.entries()) socket.send(frameOf(i));
    const frame = frameOf(10);
    const plain = sockets.filter((socket) => socket.send(frame) === frame);
    expect(plain.length).toBe(2);
    // Its context is unchanged by that.
    for (const socket of plain) {
      socket.send(frameOf(11));
      expect(socket.compressed).toBe(2);
      expect(socket.texts.at(-1)).toBe(contentOf(frameOf(11)).toString());
    }
  });

  it("are not made of frames over 1 KiB", () => {
    const socket = openSocket();
    const frame = textFrame(["x".repeat(1500)]);
    expect(socket.send(frame)).toBe(frame);
    expect(socket.send(frameOf(1))[0]).toBe(COMPRESSED_TEXT);
  });
});

describe("a handshake", () => {
  it.each([
    ["/?compress=deltas", true],
    ["/stream/s/g?token=t&compress=deltas", true],
    ["/?compress=all", false],
    ["/", false],
    [undefined, false],
  ])("of %s asks for compression: %s", (url, asks) => {
    expect(asksForCompression(url)).toBe(asks);
  });
});
