import { describe, expect, it } from "vitest";
import type { StreamAdapter } from "../../../src/service/stream-adapter.ts";
import type { UpdateStep } from "../../../src/service/library-types.ts";
import { GROUP, STORES, TEA, servicesOf } from "./custom-fixture.ts";

const LONG = { text: "x".repeat(200), n: 1 };
const APPEND: UpdateStep = { type: "append", path: ["text"], value: "!" };
const SKIPPED: UpdateStep = { type: "increment", path: "text", by: 1 };

describe.each(STORES)("a subscription with deltas to a custom stream over $kind", ({ open }) => {
  const services = servicesOf(open);

  /** The change of an update in a stream with this adapter, for a subscriber with deltas. */
  const changeWith = async (adapter: StreamAdapter) => {
    const service = await services();
    await service.createStream(GROUP.streamName, adapter);
    await service.set({ ...TEA, data: LONG });
    const frames = await service.subscribe({ ...GROUP, deltas: true });
    await frames.next();
    const updated = await service.update({ ...TEA, ops: [APPEND, SKIPPED] });
    const { value: change } = await frames.next();
    // Whichever way it came, a resumed subscription receives the same.
    const resumed = await service.subscribe({
      ...GROUP,
      deltas: true,
      resumeFrom: { ...updated.position, revision: 1 },
    });
    await resumed.next();
    expect((await resumed.next()).value).toEqual(change);
    await Promise.all([frames.return?.(), resumed.return?.()]);
    return change;
  };

  it("receives the steps of an update, if the values are read from the store of the service", async () => {
    const stored: unknown[] = [];
    const set = ({ data }: { data: unknown }) => void stored.push(data);
    expect(await changeWith({ set })).toMatchObject({
      ...{ kind: "change", type: "update", itemId: "tea" },
      ...{ ops: [APPEND], baseRevision: 1 },
    });
    expect(stored).toEqual([LONG, { ...LONG, text: `${LONG.text}!` }]);
  });

  it("receives whole values, if these may have changed outside without a revision", async () => {
    const data = { ...LONG, text: `${LONG.text}!` };
    const whole = { kind: "change", type: "update", itemId: "tea", data };
    expect(await changeWith({ get: () => LONG })).toMatchObject(whole);
    expect(await changeWith({ list: () => [{ ...LONG, id: "tea" }] })).toMatchObject(whole);
  });

  it("receives the value that the adapter has stored in place of the steps' result", async () => {
    const set = () => ({ old_value: null, new_value: { other: true } });
    expect(await changeWith({ set })).toMatchObject({ type: "update", data: { other: true } });
  });
});
