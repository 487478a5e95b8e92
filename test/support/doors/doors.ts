import { connectDoors } from "./connect-doors.ts";
import type { Door } from "./door.ts";
import { grpcJsDoor } from "./grpc-js-door.ts";
import { libraryDoor } from "./library-door.ts";
import { socketCallDoor } from "./socket-call-door.ts";
import { websocketDoor } from "./websocket-door.ts";

/** Every door that supports both calls and subscriptions. */
export const DOORS: readonly Door[] = [libraryDoor, ...connectDoors, grpcJsDoor];

/** Every door that supports calls. */
export const CALL_DOORS: readonly Door[] = [...DOORS, socketCallDoor];

/** Every door that supports subscriptions. */
export const SUBSCRIPTION_DOORS: readonly Door[] = [...DOORS, websocketDoor];

/** The door of a name. */
export function doorNamed(name: string): Door {
  const door = [...SUBSCRIPTION_DOORS, socketCallDoor].find((each) => each.name === name);
  if (door === undefined) throw new Error(`there is no door ${name}`);
  return door;
}
