// Receives webhooks from Suno Stems: npm install standardwebhooks && WEBHOOK_SECRET=whsec_… node receiver.mjs
// CHAT_URL: where to call a person if Suno wants a captcha: an incoming webhook of Slack, Mattermost or Google Chat.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray()).toString();
  try {
    const { type, data } = new Webhook(process.env.WEBHOOK_SECRET).verify(body, request.headers);
    // A repeated webhook has the same webhook-id. Ignore types that you do not know: later versions may have more.
    if (type === "stems.completed" || type === "stems.failed") {
      console.log(request.headers["webhook-id"], type, data.stems.map((stem) => stem.title));
      // Some stems may have failed, although the others are complete.
      for (const stem of data.failed) console.log("Failed:", stem.part, stem.error);
    }
    if (type === "stems.needs_person" && process.env.CHAT_URL) {
      const headers = { "Content-Type": "application/json" };
      const text = `${data.person.what} ${data.person.url}`;
      await fetch(process.env.CHAT_URL, { method: "POST", headers, body: JSON.stringify({ text }) });
    }
    response.writeHead(200).end("thanks");
  } catch (error) {
    response.writeHead(400).end(error.message);
  }
}).listen(process.env.PORT ?? 5000, function () {
  console.log("Listening on", this.address().port);
});
