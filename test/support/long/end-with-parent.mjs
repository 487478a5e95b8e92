/** Ends this process with its parent, which closes the pipe of its stdin however it ends. */
export function endWithParent() {
  process.stdin.on("close", () => process.exit(1));
  process.stdin.resume();
  process.stdin.unref();
}
