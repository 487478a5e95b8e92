/**
 * Grace period before a connection or stream is cut, in milliseconds: for a client to read the end
 * of its call, or to end its request after the response.
 */
export const END_GRACE_MS = 1000;
