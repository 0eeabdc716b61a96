// A split: the one that has no reply yet, or a new one.

import { credentials, newId } from "./api.js";
import { sentSplits } from "./sending.js";

const IN_DOUBT = new Set(["outcome_unknown", "in_progress", "unreachable", "suno_failed", "internal_error"]);

/**
 * The split for a body of POST /api/generate_stems: the one that has no reply yet, with its old body, or a new one.
 * An old body may have another format: what is paid for is the same.
 */
export function splitFor(question) {
  const paidFor = ({ audio_id: song, stem_task: task, stem_name: part }) => JSON.stringify([song, task, part ?? ""]);
  const known = sentSplits.mine.find((entry) => paidFor(entry.question) === paidFor(question));
  return known ?? { question, key: newId(), who: credentials.read().who, at: Date.now() };
}

/**
 * Send a split, and retry until there is a reply; `onWait` gets each Failure that is retried. Returns {stems}, or, if
 * Suno wants to see a person, {request, person}: the id of the request, and what to do. Throws a Failure; splitFor then returns the same split.
 * Once what is returned is stored elsewhere, the split has to be forgotten.
 */
export async function ask(entry, onWait) {
  try {
    const { reply, headers } = await sentSplits.send("/api/generate_stems", entry, onWait);
    if (Array.isArray(reply)) return { stems: reply };
    return { request: headers.get("Location").split("/").at(-1), person: reply.person };
  } catch (failure) {
    if (failure.code === "idempotency_key_reused") sentSplits.forget(entry); // its key would be refused again
    else sentSplits.note({ ...entry, underWay: false, inDoubt: IN_DOUBT.has(failure.code) });
    throw Object.assign(failure, { isSplit: true });
  }
}
