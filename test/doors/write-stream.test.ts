import { describe } from "vitest";
import { DOORS } from "../support/doors/doors.ts";
import { writeStreamSuite } from "./suite/write-stream.suite.ts";

describe.each(DOORS.filter(({ can }) => can.write !== "no"))("over $name", (door) => {
  writeStreamSuite(door, "memory");
});
