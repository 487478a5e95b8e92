/**
 * The recorder and the checker of long tests.
 *
 * Clients record what they do and see (createRecorder, one per client, each into its own file or
 * all into one sink); afterwards `check` checks all records together:
 *
 *     const sink = fileSink("/tmp/run/client-1.jsonl");
 *     const recorder = createRecorder({ client: "client-1", sink });
 *     const value = sealedValue("client-1:1");
 *     const write = recorder.write({ group, mutations: [{ op: "set", item, value }] });
 *     // ... call Set, then one of:
 *     write.acked({ position });
 *     write.refused(reason); // only when the response says that nothing happened
 *     write.unknown(reason); // everything else
 *     // ... at the end, when every write has completed and every subscriber has caught up:
 *     const list = recorder.list(group, { final: true }); // its pages, then list.done()
 *     const violations = check(loadHistory(files), { expectResume: true });
 *     if (violations.length > 0) throw new Error(describeViolations(violations));
 *
 * A client that asks for deltas gives its recorder the items that it holds (HeldItems): the values
 * that the steps make of them are compared with those that other clients receive.
 *
 * A useful history: every write to its groups is recorded; values are unique (a `tag` of client and
 * counter in each, updates included); each group has a subscription that sees every change; each
 * group has a final listing.
 *
 * Not checked: G7, G8, G9 and error codes, which need other tests.
 */
export { check } from "./check.ts";
export { HeldItems } from "./held-items.ts";
export type * from "./history.ts";
export type { CheckOptions } from "./options.ts";
export * from "./recorder.ts";
export { fileSink, loadHistory, memorySink, type RecordSink } from "./sink.ts";
export { isTorn, type Json, sealedValue, tagOf, valueText } from "./value-text.ts";
export { describeViolations, type Guarantee } from "./violation.ts";
