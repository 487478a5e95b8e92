import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BoundTrigger } from "../../src/core/trigger.ts";
import { StreamIndex } from "../../src/triggers/stream-index.ts";

const NAMES = ["a", "b", "c"];
const maybeName = fc.option(fc.constantFrom(...NAMES), { nil: undefined });

describe("the index of stream triggers", () => {
  it("finds the same triggers as a linear scan, in order of registration", () => {
    const config = fc.record({
      streamName: fc.constantFrom(...NAMES),
      groupId: maybeName,
      itemId: maybeName,
    });
    const event = fc.record({
      streamName: fc.constantFrom(...NAMES, "none listens to this"),
      groupId: fc.constantFrom(...NAMES),
      itemId: maybeName,
    });
    fc.assert(
      fc.property(fc.array(config, { maxLength: 40 }), event, (configs, { itemId, ...group }) => {
        const triggers = configs.map((each, i): BoundTrigger => ({
          id: `trigger ${i}`,
          definition: { type: "stream", functionId: "f", config: each, metadata: undefined },
        }));
        const expected = triggers.filter(({ definition: { config: listensTo } }) => {
          if (listensTo.streamName !== group.streamName) return false;
          if (listensTo.groupId !== undefined && listensTo.groupId !== group.groupId) return false;
          return listensTo.itemId === undefined || listensTo.itemId === itemId;
        });
        expect(new StreamIndex(triggers).match(group, itemId)).toEqual(
          expected.map(({ id }) => id),
        );
      }),
    );
  });
});
