// The Code node of n8n.json: verifies the webhook's signature. n8n needs NODE_FUNCTION_ALLOW_BUILTIN=crypto and WEBHOOK_SECRET.
const { createHmac, timingSafeEqual } = require("crypto");
const { headers } = $input.first().json;
const body = (await this.helpers.getBinaryDataBuffer(0, "data")).toString();
const secret = Buffer.from($env.WEBHOOK_SECRET.replace("whsec_", ""), "base64");
const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
const expected = createHmac("sha256", secret).update(signed).digest();
const given = (headers["webhook-signature"] ?? "").split(" ").map((each) => Buffer.from(each.split(",")[1] ?? "", "base64"));
const isFresh = Math.abs(Date.now() / 1000 - Number(headers["webhook-timestamp"])) < 300;
const isSigned = isFresh && given.some((each) => each.length === expected.length && timingSafeEqual(each, expected));
if (!isSigned) return [{ json: { isSigned } }];
const event = JSON.parse(body);
// Types without files, failed files, and types of later versions have nothing to fetch.
const files = event.type === "stems.completed" ? (event.data.files ?? []).filter((file) => file.status === "kept") : [];
return [{ json: { isSigned, ...event, data: { ...event.data, files } } }];
