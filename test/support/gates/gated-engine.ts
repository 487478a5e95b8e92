import { type Problem, type StreamService, memoryStore } from "millrace";
import { onTestFinished } from "vitest";
import { type Engine, type EngineOptions, createEngine } from "../../../src/service/engine.ts";
import { toLibrary } from "../../../src/service/stream-service.ts";
import type { Admissions } from "../../../src/triggers/admissions.ts";
import type { Gates } from "../../../src/triggers/gates.ts";

/** The service without its protocols, with its gates. */
export interface GatedEngine {
  readonly engine: Engine;
  readonly service: StreamService;
  readonly gates: Gates;
  readonly admissions: Admissions;
  /** Problems reported to the operator. */
  readonly problems: readonly Problem[];
}

/** Opens an engine in memory, until the test ends. */
export function openGatedEngine(options: EngineOptions = {}): GatedEngine {
  const problems: Problem[] = [];
  const engine = createEngine(memoryStore(), {
    settleTimeoutMs: 200,
    onProblem: (problem) => problems.push(problem),
    ...options,
  });
  onTestFinished(() => engine.close());
  const { gates, admissions } = engine.triggerEngine;
  return { engine, service: toLibrary(engine), gates, admissions, problems };
}
