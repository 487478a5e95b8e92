/** Ends this process with the one that started it, however that ends: its input is a pipe that nobody holds then. */
export function endWithParent() {
  process.stdin.on("close", () => process.exit(1));
  process.stdin.resume();
  process.stdin.unref();
}
