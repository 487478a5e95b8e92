import { text } from "node:stream/consumers";
import { type Command, InvalidArgumentError, Option } from "commander";
import { closestKey } from "../../core/spelling.ts";
import { ACTIONS, type Action } from "../../rights/action.ts";
import { hashOfKey, newKey } from "../../rights/keys.ts";
import type { LoadedConfig } from "../config/config.ts";
import { toServerOptions } from "../config/options.ts";
import { readText } from "../config/read-file.ts";
import { decide } from "./may.ts";
import type { TokenFlags } from "./token.ts";

/** Exit status of a question that was answered with no. */
const NO = 1;
/** Exit status of a question that was not answered. */
const NOT_ANSWERED = 2;

interface MayFlags {
  readonly as: string;
  readonly config?: string;
}

/**
 * Adds the commands about keys, tokens and rights: `key`, `token` and `may`.
 *
 * @param configFlag Makes the flag that names the configuration file.
 * @param load Loads the configuration.
 * @param print Prints a message on standard error.
 */
export function addRightsCommands(
  program: Command,
  configFlag: () => Option,
  load: (file: string | undefined) => Promise<LoadedConfig>,
  print: (message: string) => void,
): void {
  program
    .command("key")
    .description("print a new key for auth.keys, and its hash")
    .action(() => {
      const key = newKey();
      process.stdout.write(`key: ${key}\nkey_sha256: ${hashOfKey(key)}\n`);
    });

  program
    .command("token")
    .description("print a token for development, signed with a secret of auth.jwt")
    .requiredOption("--user <id>", "id of the user")
    .requiredOption("--ttl <duration>", "how long it is valid, such as 1h")
    .addOption(
      new Option(
        "--allow <rules>",
        "what the user may do besides auth.rules: read,write:STREAM/GROUP/ITEM, or JSON; repeatable",
      ).argParser((one: string, others: readonly string[] | undefined) => [...(others ?? []), one]),
    )
    .option("--claims <json>", "more claims of the token, as a JSON object")
    .addOption(configFlag())
    .action(async ({ config: file, ...flags }: TokenFlags & { readonly config?: string }) => {
      // Not needed to serve, and large.
      const { developmentToken } = await import("./token.ts");
      const { config, publicKeys } = await load(file);
      const { jwt = [] } = toServerOptions(config, publicKeys).auth;
      process.stdout.write(`${await developmentToken(jwt, flags, Date.now())}\n`);
    });

  program
    .command("may")
    .description(
      "say whether a caller may do something, by the configuration: exits with 0 for yes, 1 for no",
    )
    .argument("<action>", `one of ${ACTIONS.join(", ")}`, actionIn)
    .argument("[stream]", "name of the stream; absent: everything")
    .argument("[group]", "id of the group; absent: the whole stream")
    .argument("[item]", "id of the item; absent: the whole group")
    .requiredOption(
      "--as <caller>",
      "anonymous, a key or a token; `-` reads it from standard input, env:NAME from a variable",
    )
    .addOption(configFlag())
    .action(
      async (
        action: Action,
        stream: string | undefined,
        group: string | undefined,
        item: string | undefined,
        { as, config: file }: MayFlags,
      ) => {
        try {
          const loaded = await load(file);
          const credential = await credentialIn(as);
          const fileToken = await fileTokenOf(loaded);
          const resource = { stream, group, item };
          const { isYes, reason } = await decide(loaded, credential, action, resource, fileToken);
          process.stdout.write(`${isYes ? "yes" : "no"}: ${reason}\n`);
          process.exitCode = isYes ? 0 : NO;
        } catch (error) {
          print(error instanceof Error ? error.message : String(error));
          process.exitCode = NOT_ANSWERED;
        }
      },
    );
}

function actionIn(word: string): Action {
  const action = ACTIONS.find((each) => each === word);
  if (action !== undefined) return action;
  const meant = closestKey(word, ACTIONS);
  throw new InvalidArgumentError(
    meant === undefined ? `It may be one of ${ACTIONS.join(", ")}.` : `Did you mean ${meant}?`,
  );
}

/** The credential that a flag names; undefined for none. */
async function credentialIn(as: string): Promise<string | undefined> {
  if (as === "anonymous") return undefined;
  if (as === "-") return presented(await text(process.stdin), "standard input");
  if (!as.startsWith("env:")) return presented(as, "--as");
  const name = as.slice("env:".length);
  const value = process.env[name];
  if (value === undefined) throw new Error(`--as names the variable ${name}, which is not set.`);
  return presented(value, `the variable ${name}`);
}

function presented(credential: string, source: string): string {
  const trimmed = credential.trim();
  if (/^[\x21-\x7e]+$/.test(trimmed)) return trimmed;
  throw new Error(
    `${source} holds no key and no token; it may be one line of ASCII without spaces, or --as may be anonymous.`,
  );
}

/** The token of the api_token_file, if the service uses it and has created it. */
async function fileTokenOf({ config }: LoadedConfig): Promise<string | undefined> {
  const { api_tokens: tokens, api_token_file: file } = config;
  if (tokens.length > 0 || file === undefined) return undefined;
  const read = await readText(file);
  return "text" in read ? read.text.trim() : undefined;
}
