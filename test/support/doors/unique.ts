let made = 0;

/** A name that is unique in this process. */
export function uniqueName(stem: string): string {
  return `${stem}-${++made}`;
}
