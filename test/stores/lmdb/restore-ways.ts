import { execFile } from "node:child_process";
import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** One way to back up a folder and restore it. */
export interface RestoreWay {
  readonly name: string;
  /** The program that it needs. */
  readonly program: string;
  backUp(folder: string, backup: string): Promise<unknown>;
  restore(backup: string, folder: string): Promise<unknown>;
}

const copyAll: RestoreWay["backUp"] = (folder, backup) => run("cp", ["-a", folder, backup]);
const DATA = "millrace.mdb";

/** The ways that operators use. */
export const RESTORE_WAYS: readonly RestoreWay[] = [
  {
    name: "cp -a into an empty place",
    program: "cp",
    backUp: copyAll,
    async restore(backup, folder) {
      await rm(folder, { recursive: true });
      await run("cp", ["-a", backup, folder]);
    },
  },
  {
    name: "tar into an empty place",
    program: "tar",
    backUp: (folder, backup) => run("tar", ["-cf", backup, "-C", folder, "."]),
    async restore(backup, folder) {
      await run("find", [folder, "-mindepth", "1", "-delete"]);
      await run("tar", ["-xpf", backup, "-C", folder]);
    },
  },
  {
    name: "rsync --archive --delete over the living folder",
    program: "rsync",
    backUp: (folder, backup) => run("rsync", ["-a", `${folder}/`, backup]),
    restore: (backup, folder) => run("rsync", ["-a", "--delete", `${backup}/`, folder]),
  },
  {
    name: "cp over the living name of the data file",
    program: "cp",
    backUp: copyAll,
    restore: (backup, folder) => run("cp", [join(backup, DATA), join(folder, DATA)]),
  },
  {
    name: "cp -a over all living names",
    program: "cp",
    backUp: copyAll,
    restore: (backup, folder) => run("cp", ["-a", `${backup}/.`, folder]),
  },
  {
    name: "the data file alone, after the living one was removed",
    program: "cp",
    backUp: copyAll,
    async restore(backup, folder) {
      await rm(join(folder, DATA));
      await copyFile(join(backup, DATA), join(folder, DATA));
    },
  },
];

/** Whether a program can be run here. */
export async function hasProgram(name: string): Promise<boolean> {
  return run(name, ["--version"]).then(
    () => true,
    () => false,
  );
}
