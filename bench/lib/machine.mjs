/* Where it was measured. */
import { availableParallelism, cpus, release, type } from "node:os";

/** The properties of the machine that matter for the numbers. They do not identify it. */
export function machine() {
  return {
    kernel: `${type()} ${release()}`,
    node: process.versions.node,
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
  };
}

/** The same as a line. @param {ReturnType<typeof machine>} where */
export function machineLine({ kernel, node, cores, cpu }) {
  return `${kernel}, Node ${node}, ${cores} cores, ${cpu}`;
}
