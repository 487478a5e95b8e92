import { runTool } from "../../scripts/lib/tools.mjs";

/** One complaint of the linter. */
export interface LintProblem {
  /** Relative to the folder, with forward slashes. */
  readonly file: string;
  readonly line: number;
  /** For example `eslint(no-var)`. */
  readonly rule: string;
  readonly message: string;
}

/**
 * Lints a folder as the gate does.
 *
 * @param folder A project with .oxlintrc.json.
 * @param paths The paths to lint. Default: all.
 */
export async function lint(
  folder: string,
  paths: readonly string[] = [],
): Promise<{ status: number; problems: readonly LintProblem[] }> {
  const { code, output } = await runTool(folder, "oxlint", ["--format=json", ...paths]);
  const { diagnostics } = JSON.parse(output) as {
    diagnostics: readonly {
      readonly code: string;
      readonly filename: string;
      readonly message: string;
      readonly labels: readonly { readonly span: { readonly line: number } }[];
    }[];
  };
  const problems = diagnostics.map((found) => ({
    file: found.filename.replaceAll("\\", "/"),
    line: found.labels[0]?.span.line ?? 0,
    rule: found.code,
    message: found.message,
  }));
  return { status: code, problems: problems.toSorted((a, b) => a.line - b.line) };
}
