import { StreamError } from "millrace";
import { type Door, type DoorClient, DoorError, type Frames, failingAs } from "./door.ts";

/** The service without a network. */
export const libraryDoor: Door = {
  name: "library",
  can: { deadlines: false, write: "no", details: true },
  client: ({ service }): DoorClient => ({
    set: (request) => failing(service.set(request)),
    get: (request) => failing(service.get(request)),
    update: (request) => failing(service.update(request)),
    delete: (request) => failing(service.delete(request)),
    batch: (request) => failing(service.batch(request)),
    send: (request) => failing(service.send(request)),
    list: (request) => failing(service.list(request)),
    history: (request) => failing(service.history(request)),
    listGroups: (request) => failing(service.listGroups(request)),
    listAll: (request) => failing(service.listAll(request)),
    async subscribe(request): Promise<Frames> {
      const frames = await failing(service.subscribe(request));
      return {
        next: () => failing(frames.next()),
        async return() {
          await frames.return?.();
          return { done: true, value: undefined };
        },
      };
    },
    write() {
      throw new Error("the library has no write streams");
    },
    // The service belongs to the server.
    close: async () => {},
  }),
};

function failing<T>(promise: Promise<T>): Promise<T> {
  return failingAs(promise, (error) => {
    if (!(error instanceof StreamError)) throw error;
    return new DoorError(error.code, error.message, error, error);
  });
}
