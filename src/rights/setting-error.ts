/**
 * A setting of callers or rights that is invalid. Its message is a sentence for the operator that
 * begins with the place.
 */
export class SettingError extends Error {
  override readonly name: string = "SettingError";
  /** Place of the setting, such as `auth.keys[1]`. */
  readonly place: string;

  /** @param problem The rest of the sentence, such as "is missing; it may be a URL." */
  constructor(place: string, problem: string) {
    super(`${place} ${problem}`);
    this.place = place;
  }
}
