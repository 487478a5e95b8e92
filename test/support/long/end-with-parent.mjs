/** Ends this process with its parent, however that ends: the pipe of its stdin closes then. */
export function endWithParent() {
  process.stdin.on("close", () => process.exit(1));
  process.stdin.resume();
  process.stdin.unref();
}
