/**
 * The order in which vitest runs the test files: the longest first, so that no worker idles at the
 * end while another one is still in a long file.
 */
import { BaseSequencer } from "vitest/node";

/** Beginnings of the paths of files that take much longer than their size suggests, longest first. */
const LONGEST = [
  "test/docs/snippets",
  "test/stores/redis/",
  "test/browser/demo",
  "test/doors/bad-input",
  "test/doors/liveness",
  "test/redis/faults",
  "test/coordinators/redis/",
  "test/browser/ai-text",
  "test/redis/torn-copies",
  "test/redis/ensure-redis",
  "test/server/config/process",
  "test/gates/leave-after-kill",
];

/** vitest's own order, but with files that are known to be long before all others. */
export class LongestFirst extends BaseSequencer {
  /**
   * @override
   * @param {import("vitest/node").TestSpecification[]} files
   */
  async sort(files) {
    const sorted = await super.sort(files);
    /** @param {import("vitest/node").TestSpecification} file */
    const rank = ({ project, moduleId }) => {
      // Files that share modules follow those that do not: a worker that changes over starts anew.
      if (project.config.isolate) return -1;
      const path = moduleId.slice(this.ctx.config.root.length + 1);
      const found = LONGEST.findIndex((beginning) => path.startsWith(beginning));
      return found < 0 ? LONGEST.length : found;
    };
    return sorted
      .map((file) => ({ file, rank: rank(file) }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ file }) => file);
  }
}
