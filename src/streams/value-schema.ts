import type { Ajv2020, ErrorObject } from "ajv/dist/2020.js";
import { StreamError } from "../core/errors.ts";
import type { Json, Value } from "../core/value.ts";
import { FORMAT_NAMES, formatsWith } from "./formats.ts";
import { Fuel, OutOfFuel } from "./fuel.ts";
import { linearPattern } from "./linear-pattern.ts";
import { STEP, SchemaError, fueledSchema } from "./schema-form.ts";
import { schemaLibraries } from "./schema-libraries.ts";
import { areUnique } from "./unique-items.ts";

/** Most characters of a schema, or of a path, in a message. */
const MAX_SHOWN = 300;
/** Most errors that a check keeps: enough for a sentence, however many its alternatives produce. */
const MAX_ERRORS = 100;

/** A compiled JSON Schema, which values of a stream have to fit. */
export interface ValueSchema {
  /**
   * Checks a value.
   *
   * @param field Name of the field in metadata.
   * @param subject Name of the value in messages. Default: that of the field.
   * @throws StreamError SCHEMA_MISMATCH
   */
  check(value: Value, field: string, subject?: string): void;
}

/**
 * Compiles a JSON Schema of draft 2020-12.
 *
 * A check takes bounded time, whatever the schema and the value are: it burns fuel, and patterns
 * and `uniqueItems` take linear time.
 *
 * @param schema The schema as JSON. It must not refer to other schemas.
 * @throws SchemaError with a clause, such as "has no such format".
 */
export function compileSchema(schema: unknown): ValueSchema {
  const fueled = fueledSchema(schema);
  checkGrammar(schema);
  const fuel = new Fuel();
  const validate = compile(fueled, fuel);

  const problemOf = (value: Value): Mismatch | undefined => {
    fuel.fill(value.size);
    try {
      if (validate(value.json())) return undefined;
      return mismatchOf(validate.errors ?? []);
    } catch (error) {
      // A schema that applies itself to the same value without end exhausts the stack.
      if (error instanceof OutOfFuel || error instanceof RangeError) return TOO_COMPLEX;
      throw error;
    } finally {
      validate.errors = null;
    }
  };
  return {
    check(value, field, subject = field) {
      const problem = problemOf(value);
      if (problem === undefined) return;
      throw new StreamError("SCHEMA_MISMATCH", `${subject} ${problem.sentence}`, {
        metadata: { field, path: problem.path },
      });
    },
  };
}

/** A mismatch between a value and its schema. */
interface Mismatch {
  /** JSON pointer. */
  readonly path: string;
  /** The rest of a sentence. */
  readonly sentence: string;
}

const TOO_COMPLEX: Mismatch = {
  path: "",
  sentence:
    "takes too many steps to check against the schema of its stream; it may be a smaller or simpler value.",
};

/** Checks schemas themselves. Created when it is needed, which takes a tenth of a second. */
let grammar: Ajv2020 | undefined;

/** Checks that the keywords of a schema have values of the right type. @throws SchemaError */
function checkGrammar(schema: unknown): void {
  grammar ??= new (schemaLibraries().ajv.Ajv2020)({ strict: false, logger: false });
  try {
    if (grammar.validateSchema(schema as object) === true) return;
  } catch (error) {
    throw new SchemaError(clauseOf(error), { cause: error });
  }
  const [error] = grammar.errors ?? [];
  const where = error?.instancePath === "" ? "it" : `its ${shorten(error?.instancePath ?? "")}`;
  throw new SchemaError(`is no JSON Schema: ${where} ${error?.message ?? "does not fit"}`);
}

function compile(fueled: object | boolean, fuel: Fuel) {
  const { _, Ajv2020 } = schemaLibraries().ajv;
  const ajv = new Ajv2020({
    meta: false,
    validateSchema: false,
    strictSchema: true,
    strictNumbers: true,
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    allowMatchingProperties: true,
    // Members are those of the value itself, never of its prototype.
    ownProperties: true,
    // Otherwise schemas without references are copied into every place that uses them.
    inlineRefs: false,
    logger: false,
    code: {
      regExp: Object.assign((pattern: string) => linearPattern(pattern, fuel), { code: "" }),
      process: boundErrors,
    },
  });
  // Called by the generated code.
  Object.assign(ajv, { joinErrors });
  // To find out which members are evaluated, every alternative has to be tried.
  ajv.opts.unevaluated = JSON.stringify(fueled).includes('"unevaluated');
  ajv.addVocabulary(["$anchor"]);
  for (const [name, validate] of formatsWith(fuel))
    ajv.addFormat(name, { type: "string", validate });
  ajv.removeKeyword("uniqueItems");
  ajv.addKeyword({
    keyword: "uniqueItems",
    type: "array",
    schemaType: "boolean",
    error: { message: "must NOT have duplicate items" },
    validate: (isRequired: boolean, items: readonly Json[]) => {
      if (!isRequired) return true;
      fuel.burn(JSON.stringify(items).length);
      return areUnique(items);
    },
  });
  const step = (steps: number) => fuel.burn(steps);
  const stepAndCount = (steps: number, value: unknown) => fuel.burn(steps + countOf(value) / 4);
  ajv.addKeyword({
    keyword: STEP,
    before: "$ref",
    code({ gen, data, schema }) {
      const [steps, counts] = schema as [number, boolean];
      const burn = gen.scopeValue("func", { ref: counts ? stepAndCount : step });
      gen.code(counts ? _`${burn}(${steps}, ${data})` : _`${burn}(${steps})`);
    },
  });
  try {
    return ajv.compile(fueled);
  } catch (error) {
    throw new SchemaError(clauseOf(error), { cause: error });
  }
}

/** Members or characters of a value. */
function countOf(value: unknown): number {
  if (typeof value === "string" || Array.isArray(value)) return value.length;
  return typeof value === "object" && value !== null ? Object.keys(value).length : 0;
}

/** Appends errors; those beyond the limit are only counted. */
function joinErrors(all: (ErrorObject | null)[], more: readonly ErrorObject[]) {
  for (const error of more) all.push(all.length < MAX_ERRORS ? error : null);
  return all;
}

/**
 * Bounds the errors in the code that Ajv generates, in which `self` is the instance. Otherwise
 * every alternative that does not fit adds errors, and each level copies those below.
 */
function boundErrors(code: string): string {
  return code
    .replaceAll(/vErrors\.concat\((\w+)\.errors\)/g, "self.joinErrors(vErrors, $1.errors)")
    .replaceAll(/const (err\d+) = \{/g, `const $1 = errors >= ${MAX_ERRORS} ? null : {`);
}

/** The reason why a schema does not compile, as a clause. */
function clauseOf(error: unknown): string {
  if (error instanceof RangeError) return "is nested too deeply; it may have fewer levels";
  const message = error instanceof Error ? error.message : String(error);
  const format = /unknown format "(.*)" ignored/s.exec(message)?.[1];
  if (format !== undefined)
    return `has the format ${shorten(JSON.stringify(format))}, which is not checked; it may be ${FORMAT_NAMES.join(", ")}`;
  const keyword = /unknown keyword: "(.*)"/s.exec(message)?.[1];
  if (keyword !== undefined)
    return `has ${shorten(JSON.stringify(keyword))}, which is no keyword of JSON Schema 2020-12`;
  if (error instanceof SyntaxError)
    return `has a pattern that cannot be matched in linear time: ${shorten(message)}`;
  return `does not compile: ${shorten(message.replace(/^(?:strict mode|schema is invalid): /, ""))}`;
}

/**
 * The mismatch to report. The last error is that of the outermost keyword, which for alternatives is
 * the one about all of them; only `if` says less than the error before it.
 */
function mismatchOf(errors: readonly (ErrorObject | null)[]): Mismatch {
  const kept = errors.filter((error) => error !== null);
  const last = errors.at(-1) ?? kept[0];
  const error = last?.keyword === "if" ? (kept.at(-2) ?? last) : last;
  if (error === undefined) return { path: "", sentence: "does not fit the schema of its stream." };
  const { instancePath } = error;
  const where = instancePath === "" ? "it" : `its ${shorten(instancePath)}`;
  return {
    path: ancestorOf(instancePath),
    sentence: `does not fit the schema of its stream: ${where} ${shorten(wantOf(error))}.`,
  };
}

/** The requirement of the schema, as a clause. */
function wantOf({ keyword, params, message = "does not fit" }: ErrorObject): string {
  switch (keyword) {
    case "enum":
      return `must be one of ${(params["allowedValues"] as unknown[]).map(textOf).join(", ")}`;
    case "const":
      return `must be ${textOf(params["allowedValue"])}`;
    case "additionalProperties":
      return `must not have the property ${textOf(params["additionalProperty"])}`;
    case "unevaluatedProperties":
      return `must not have the property ${textOf(params["unevaluatedProperty"])}`;
    case "propertyNames":
      return `must not have the property ${textOf(params["propertyName"])}`;
    case "false schema":
      return "must not be there";
    default:
      return message;
  }
}

function textOf(value: unknown): string {
  return shorten(JSON.stringify(value) ?? "");
}

function shorten(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN).toWellFormed()}...`;
}

/** A JSON pointer, or its longest ancestor that is not too long. */
function ancestorOf(pointer: string): string {
  if (pointer.length <= MAX_SHOWN) return pointer;
  return pointer.slice(0, pointer.lastIndexOf("/", MAX_SHOWN));
}
