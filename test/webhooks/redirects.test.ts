import { describe, expect, it } from "vitest";
import { SECRET, call, failureOf, hasty, hookTo, resolver } from "./calling.ts";
import { CERTIFICATE } from "./certificate.ts";
import { type Answering, answering, receive, receiveSecurely, signatureOf } from "./receiver.ts";

const FOLLOWING = { allowRedirects: true };

/** Redirects `times` times, each time to the next path, and then responds. */
function redirecting(status: number, times: number): Answering {
  return (response, index, request) => {
    const answer =
      index < times
        ? answering(status, "", { location: `/${index + 1}` })
        : answering(200, '"there"');
    answer(response, index, request);
  };
}

describe("redirects", () => {
  it("are not followed unless they are allowed", async () => {
    const receiver = await receive(redirecting(307, 1));
    expect(await failureOf(hookTo(receiver.url, {}, hasty()))).toBe(
      "invocation_failed: The function orders::notify responded to attempt 1 with status 307; it may respond with a status from 200 to 299.",
    );
    expect(receiver.received).toHaveLength(1);
  });

  it.each([307, 308])("with status %d are followed with the same request", async (status) => {
    const receiver = await receive(redirecting(status, 5));
    expect(await call(hookTo(receiver.url, FOLLOWING))).toBe('"there"');
    const { received } = receiver;
    expect(received.map(({ path }) => path)).toEqual(["/hook", "/1", "/2", "/3", "/4", "/5"]);
    expect(new Set(received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    for (const request of received) {
      expect(request).toMatchObject({ method: "POST", body: '{"order":7}' });
      expect(request.headers["webhook-signature"]).toBe(signatureOf(request, SECRET));
    }
  });

  it("are followed at most five times", async () => {
    const receiver = await receive(redirecting(307, 6));
    expect(await failureOf(hookTo(receiver.url, FOLLOWING, hasty()))).toBe(
      "invocation_failed: The function orders::notify redirected more than 5 times; it may do so up to that.",
    );
    expect(receiver.received).toHaveLength(6);
  });

  it.each([300, 301, 302, 303])(
    "with status %d, which do not keep the POST, are refused",
    async (status) => {
      const receiver = await receive(redirecting(status, 1));
      expect(await failureOf(hookTo(receiver.url, FOLLOWING, hasty()))).toBe(
        `invocation_failed: The function orders::notify responded to attempt 1 with status ${status}; it may respond with a status from 200 to 299, or redirect with 307 or 308, which keep the POST.`,
      );
      expect(receiver.received).toHaveLength(1);
    },
  );

  it.each([
    ["nowhere", {}],
    ["an invalid URL", { location: "http://[" }],
    ["a file", { location: "file:///etc/passwd" }],
    ["a URL with a password", { location: "http://user:hunter2@hooks.test/" }],
  ])("to %s are refused", async (_, headers) => {
    const receiver = await receive(answering(307, "", headers));
    const failure = await failureOf(hookTo(receiver.url, FOLLOWING, hasty()));
    expect(failure).toBe(
      "invocation_failed: The function orders::notify redirected to an invalid URL; it may be an http or https URL without user name, password and fragment, such as https://hooks.example.com/orders, and https after https.",
    );
    expect(receiver.received).toHaveLength(1);
  });

  it("from https to http are refused", async () => {
    const open = await receive(answering(200));
    const secure = await receiveSecurely(answering(307, "", { location: open.url }));
    const around = { ...resolver(["127.0.0.1"]), authorities: CERTIFICATE };
    const hook = hookTo(`https://hooks.test:${secure.port}/`, FOLLOWING, around);
    expect(await failureOf(hook)).toContain("redirected to an invalid URL");
    expect(open.received).toHaveLength(0);
  });

  it("start over in the next attempt", async () => {
    const receiver = await receive((response, index, request) => {
      const answers = [
        answering(308, "", { location: "/moved" }),
        answering(503),
        answering(308, "", { location: "/moved" }),
        answering(200, "1"),
      ];
      answers[index]?.(response, index, request);
    });
    expect(await call(hookTo(receiver.url, FOLLOWING, hasty()))).toBe("1");
    expect(receiver.received.map(({ path }) => path)).toEqual([
      "/hook",
      "/moved",
      "/hook",
      "/moved",
    ]);
  });
});
