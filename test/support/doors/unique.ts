let made = 0;

/** A name that no other test uses in this process. */
export function uniqueName(stem: string): string {
  return `${stem}-${++made}`;
}
