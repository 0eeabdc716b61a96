"""An order is sent once, whatever becomes of its replies: run without a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.npm import NODE
from tests.page import test_rules

pytestmark = NODE

BROWSER = """
    class Storage {
      getItem(name) { return this[name] ?? null; }
      setItem(name, text) { this[name] = text; }
    }
    globalThis.localStorage = new Storage();
    globalThis.sessionStorage = new Storage();
    let now = 1000;
    Date.now = () => now++;
    const keys = [];
    let replies = [];
    globalThis.fetch = async (path, { headers }) => {
      keys.push(headers["Idempotency-Key"]);
      const [status, body] = replies.shift();
      return new Response(JSON.stringify(body), { status });
    };
    const question = { songs: ["a", "b"], stem_task: "two", on_captcha: "wait", max_credits: 20 };
    const code = (promise) => promise.then((id) => id, (failure) => failure.code);
"""
"""What a browser offers to the modules; `replies` are those of the service, as status and body."""

ORDER = [202, {"id": "order-1"}]
LOST = [500, {"code": "internal_error", "error": "A bug."}]
NO_LEDGER = [503, {"code": "ledger_unavailable", "error": "No ledger."}]
REFUSED = [402, {"code": "over_limit", "error": "Raise max_credits."}]


def run(script: str, module: str = "order-sending", **given: Any) -> Any:
    """Run a script that returns a value, with the module under its name, and `given`."""
    values = "".join(f"const {name} = {json.dumps(value)};" for name, value in given.items())
    return test_rules.run(f"await (async () => {{ {BROWSER} {values} {script} }})()", module=module)


def test_the_price_of_an_unchanged_choice_keeps_its_key() -> None:
    """Else the price of a second press, or a slow one, would be that of another order."""
    keys = run(
        """
        const { bodyOf, choice, choose, noteQuote } = order_choice;
        choose({ songs: ["a"] });
        const asked = bodyOf(choice());
        noteQuote(asked, "first");
        const first = choice().quote;
        noteQuote(asked, "second");
        return [first, choice().quote];
        """,
        module="order-choice",
    )
    assert keys[0] == keys[1]


@pytest.mark.parametrize("lost", [LOST, NO_LEDGER])
def test_an_order_without_a_reply_is_sent_again_with_its_key_whatever_its_price_is_then(lost: Any) -> None:
    """Songs that the lost order has split cost nothing any more."""
    seen = run(
        """
        replies = [lost, order];
        const first = await code(order_sending.send({ question, key: "first", at: now }));
        const second = await code(
          order_sending.send({ question: { ...question, max_credits: 10 }, key: "second", at: now }));
        return [first, second, keys];
        """,
        lost=lost,
        order=ORDER,
    )
    assert seen == [lost[1]["code"], "order-1", ["first", "first"]]


def test_an_order_that_was_refused_or_answered_before_its_price_was_asked_is_not_sent_again() -> None:
    seen = run(
        """
        replies = [refused, order, order];
        const send = (key) => code(order_sending.send({ question, key, at: now }));
        return [await send("first"), await send("second"), await send("third"), keys];
        """,
        refused=REFUSED,
        order=ORDER,
    )
    assert seen == ["over_limit", "order-1", "order-1", ["first", "second", "third"]]


def test_other_songs_stems_or_files_are_another_order() -> None:
    seen = run(
        """
        replies = [lost, order, order, order, order];
        await code(order_sending.send({ question, key: "first", at: now }));
        const others = [{ songs: ["a"] }, { stem_task: "twelve" }, { stem_name: "Bass" }, { audio_format: "mp3" }];
        for (const other of others) {
          await order_sending.send({ question: { ...question, ...other }, key: other, at: now });
        }
        return keys.length === new Set(keys).size;
        """,
        lost=LOST,
        order=ORDER,
    )
    assert seen is True


def test_a_split_whose_key_belongs_to_another_request_gets_a_new_key() -> None:
    seen = run(
        """
        replies = [reused, stems];
        const send = () => code(split.ask(split.splitFor({ audio_id: "a", stem_task: "two" }), () => {}));
        return [await send(), (await send()).stems.length, keys[0] === keys[1]];
        """,
        module="split",
        reused=[422, {"code": "idempotency_key_reused", "error": "Reused."}],
        stems=[200, [{"id": "stem"}]],
    )
    assert seen == ["idempotency_key_reused", 1, False]
