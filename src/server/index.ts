/** The server: the service with its network protocols, in this process. */
export { type Server, type ServerOptions, createServer } from "./server.ts";
export type { StoreOptions } from "./open-store.ts";
