// Runs a redis-server (argv[2], with the arguments after it) and ends with it. A redis-server does
// not watch its parent, so this process does: it kills the server when its own stdin closes, which
// happens however the process of the tests ends. First it prints "redis-child: PID".
import { spawn } from "node:child_process";

const [program = "", ...args] = process.argv.slice(2);
const server = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"] });
const kill = () => void server.kill("SIGKILL");
server.once("exit", (code) => process.exit(code ?? 1));
process.stdin.once("close", kill).resume();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, kill);
process.stdout.write(`redis-child: ${server.pid}\n`);
