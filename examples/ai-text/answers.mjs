// Asks a model, and writes its answers into a stream as they come. Each answer is an item
// {question, text, done} in the group of its conversation.
import { toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { pipeText } from "millrace";
import { StreamService } from "millrace/v1";

const streamName = "ai-answers";

/**
 * @param {string} service Address of Millrace.
 * @param {(question: string, stop: AbortSignal) => AsyncIterable<string>} say The model.
 */
export function createAnswers(service, say) {
  const client = createClient(StreamService, createGrpcTransport({ baseUrl: service }));
  /** What ends each answer that is being written. @type {Map<string, AbortController>} */
  const open = new Map();

  /**
   * @param {string} groupId
   * @param {string} itemId
   * @param {string} question
   */
  async function write(groupId, itemId, question) {
    const stop = new AbortController();
    open.set(itemId, stop);
    const place = { streamName, groupId, itemId, path: "text" };
    const start = [{ type: /** @type {const} */ ("merge"), value: { question, done: false } }];
    try {
      await pipeText(client, place, say(question, stop.signal), { start });
    } catch (error) {
      console.error(`The answer ${itemId} has ended early:`, error);
    } finally {
      open.delete(itemId);
    }
  }

  return {
    /**
     * Begins an answer. The page sees it come.
     *
     * @param {string} groupId
     * @param {string} question
     */
    ask(groupId, question) {
      const itemId = crypto.randomUUID().slice(0, 8);
      void write(groupId, itemId, question);
      return itemId;
    },

    /**
     * Ends an answer where it is.
     *
     * @param {string} itemId
     */
    stop(itemId) {
      open.get(itemId)?.abort();
    },

    /** Asks again what this program has not finished because it was killed. */
    async askAgain() {
      const { groups } = await client.listGroups({ streamName, pageSize: 1000 });
      for (const groupId of groups) {
        const { items } = await client.list({ streamName, groupId, pageSize: 1000 });
        for (const { itemId, data } of items) {
          const answer = /** @type {any} */ (data && toJson(ValueSchema, data));
          if (answer?.done === false) void write(groupId, itemId, answer.question);
        }
      }
    },
  };
}
