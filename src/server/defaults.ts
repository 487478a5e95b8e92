/** Default port. */
export const DEFAULT_PORT = 3112;

/** The default data folder. */
export const DEFAULT_FOLDER = "./data";
