/**
 * The project's own lint rules, as a plugin of oxlint (see .oxlintrc.json).
 */
import { relative, sep } from "node:path";
import { importProblem } from "./import-table.mjs";

/**
 * @typedef {object} Node A node of the syntax tree, as far as the rules use it.
 * @property {string} type
 * @property {Node | null} [source] Of an import or export: the module.
 * @property {Node} [expression]
 * @property {unknown} [value]
 */

/**
 * @typedef {object} Context
 * @property {string} cwd
 * @property {string} filename
 * @property {(problem: { node: Node, message: string }) => void} report
 */

/** `millrace/import-table`: the allowed imports between modules. */
const importTable = {
  /** @param {Context} context */
  create({ cwd, filename, report }) {
    const file = relative(cwd, filename).split(sep).join("/");
    /** @param {Node} node @param {Node | null | undefined} module */
    const judge = (node, module) => {
      const specifier = module?.type === "Literal" ? String(module.value) : undefined;
      const message = importProblem(file, specifier);
      if (message !== undefined) report({ node, message });
    };
    /** @param {Node} node */
    const judgeSource = (node) => judge(node, node.source);
    return {
      ImportDeclaration: judgeSource,
      ExportAllDeclaration: judgeSource,
      ImportExpression: judgeSource,
      TSImportType: judgeSource,
      /** @param {Node} node */
      ExportNamedDeclaration: (node) => {
        // Without a source it exports what the file itself declares.
        if (node.source) judgeSource(node);
      },
      /** @param {Node} node */
      TSExternalModuleReference: (node) => judge(node, node.expression),
    };
  },
};

/** `millrace/no-enum`: TypeScript's enums are the one construct that types alone cannot erase. */
const noEnum = {
  /** @param {Context} context */
  create: ({ report }) => ({
    /** @param {Node} node */
    TSEnumDeclaration: (node) =>
      report({ node, message: "Use a union of literals, or an object `as const`, not an enum." }),
  }),
};

export default {
  meta: { name: "millrace" },
  rules: { "import-table": importTable, "no-enum": noEnum },
};
