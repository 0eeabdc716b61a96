"""Receives webhooks from Suno Stems.

WEBHOOK_SECRET=whsec_… flask --app examples/receiver run --port 5000
CHAT_URL: where to call a person if Suno wants a captcha: an incoming webhook of Slack, Mattermost or Google Chat.
"""

import os

import requests
from flask import Flask, request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

app = Flask(__name__)


@app.post("/stems")
def stems() -> tuple[str, int]:
    """Print a webhook if its signature is valid. A repeated webhook has the same webhook-id."""
    try:
        told = Webhook(os.environ["WEBHOOK_SECRET"]).verify(request.get_data(as_text=True), dict(request.headers))
    except WebhookVerificationError as error:
        return str(error), 400
    if told["type"] in ("stems.completed", "stems.failed"):
        titles = [stem["title"] for stem in told["data"]["stems"]]
        print(request.headers["webhook-id"], told["type"], titles, flush=True)
        # Some stems may have failed, although the others are complete.
        for stem in told["data"]["failed"]:
            print("Failed:", stem["part"], stem["error"], flush=True)
    if told["type"] == "stems.needs_person" and (chat := os.environ.get("CHAT_URL")):
        person = told["data"]["person"]
        requests.post(chat, json={"text": f"{person['what']} {person['url']}"}, timeout=10).raise_for_status()
    # Ignore types that you do not know: later versions may have more.
    return "thanks", 200
