// The Code node of n8n.json: compares the webhook's signatures with the one that the Crypto node made.
const { headers } = $("Stems are ready").first().json;
const { text, signature } = $input.first().json;
const expected = `v1,${signature}`;
// In the same time for every wrong signature: a faster refusal would tell a forger how much of it is right.
const isEqual = (given) =>
  [...expected].reduce((difference, _, i) => difference | (given.charCodeAt(i) ^ expected.charCodeAt(i)), given.length ^ expected.length) === 0;
const isFresh = Math.abs(Date.now() / 1000 - Number(headers["webhook-timestamp"])) < 300;
const isSigned = isFresh && (headers["webhook-signature"] ?? "").split(" ").some(isEqual);
if (!isSigned) return [{ json: { isSigned } }];
const event = JSON.parse(text);
// Types without files, failed files, and types of later versions have nothing to fetch.
const files = event.type === "stems.completed" ? (event.data.files ?? []).filter((file) => file.status === "kept") : [];
return [{ json: { isSigned, ...event, data: { ...event.data, files } } }];
