/* The package has no types of its own. This is what is used of it. */
declare module "fs-native-extensions" {
  /**
   * Locks a range of a file for the open file, not for the process. The whole file without a range.
   *
   * @returns False when another open file has a lock on it. Throws when the file cannot be locked.
   */
  export function tryLock(fd: number): boolean;
}
