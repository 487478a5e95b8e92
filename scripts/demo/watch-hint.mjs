/**
 * Commands that watch the figures, to paste.
 */
import { GROUP, STREAM } from "./target.mjs";

/**
 * The commands, for a service at an address.
 *
 * @param {string} url
 * @returns {string}
 */
export function watchHint(url) {
  const service = `${url}/millrace.v1.StreamService`;
  const group = `"streamName":"${STREAM}","groupId":"${GROUP}"`;
  return `
Watch them change (Ctrl-C ends it):

  npx @bufbuild/buf curl --schema proto ${service}/Subscribe \\
    -d '{${group}}'

The same with curl, which has to be given the five bytes that begin each message of a stream:

  frame() { printf "\\0\\0\\0\\0\\\\$(printf %03o \${#1})%s" "$1"; }
  frame '{${group}}' |
    curl -sN ${service}/Subscribe -H 'content-type: application/connect+json' \\
      --data-binary @- --output -

Read one of them:

  curl ${service}/Get -H 'content-type: application/json' \\
    -d '{${group},"itemId":"memory-used"}'
`;
}
