import { expect, test } from "vitest";
import { textFrame } from "../../src/bridge/text-frame.ts";
import { OPCODE, serverFrames } from "./raw-line.ts";

test.each([0, 1, 125, 126, 127, 65_535, 65_536, 70_000])(
  "a text of %i bytes is one whole unmasked frame with the shortest length field (RFC 6455, 5.2)",
  (length) => {
    const frame = textFrame(["x".repeat(length)]);
    const header = length <= 125 ? 2 : length <= 65_535 ? 4 : 10;
    expect(frame.byteLength).toBe(header + length);
    expect(frame[0]).toBe(0x80 | OPCODE.text);
    expect((frame[1] ?? 0) & 0x80).toBe(0);
    const frames = Array.from(serverFrames(frame));
    expect(frames.map(({ payload }) => payload.toString())).toEqual(["x".repeat(length)]);
  },
);

test("a text beyond ASCII has the length of its UTF-8 encoding", () => {
  const [frame] = serverFrames(textFrame(["aé", Buffer.from("😀"), ""]));
  expect(frame?.payload.toString()).toBe("aé😀");
});
