import { createRequire } from "node:module";
import type * as Ajv from "ajv/dist/2020.js";
import type { FormatsPlugin } from "ajv-formats";
import type * as Re2 from "re2js";

/** The libraries that schemas need. */
interface SchemaLibraries {
  readonly ajv: typeof Ajv;
  readonly formats: FormatsPlugin;
  readonly re2: typeof Re2;
}

const require = createRequire(import.meta.url);
let loaded: SchemaLibraries | undefined;

/**
 * Loads the libraries at the first call. They take 12 MB of memory and a twentieth of a second,
 * which a service without schemas saves.
 */
export function schemaLibraries(): SchemaLibraries {
  loaded ??= {
    ajv: require("ajv/dist/2020.js") as typeof Ajv,
    formats: require("ajv-formats") as FormatsPlugin,
    re2: require("re2js") as typeof Re2,
  };
  return loaded;
}
