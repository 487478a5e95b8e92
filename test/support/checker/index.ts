export { check } from "./check.ts";
export type * from "./history.ts";
export type { CheckOptions } from "./options.ts";
export * from "./recorder.ts";
export {
  type FileSink,
  fileSink,
  loadHistory,
  type MemorySink,
  memorySink,
  type RecordSink,
} from "./sink.ts";
export { isTorn, type Json, sealedValue, tagOf, type ValueText, valueText } from "./value-text.ts";
export { describeViolations, type Guarantee, type Violation } from "./violation.ts";
