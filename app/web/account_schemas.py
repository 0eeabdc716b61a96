"""Schemas of what an account has left."""

from __future__ import annotations

from marshmallow import fields

from app.web.examples import EXAMPLE_CREDITS
from app.web.fields import count, field, text
from app.web.schemas import Schema


class BudgetLeft(Schema):
    """What a caller may still spend. A limit that the operator has not set is left out."""

    credits_per_day = field(fields.Integer, "Allowed credits in any 24 hours.", required=False, example=100)
    credits_left = field(fields.Integer, "Credits left of these.", required=False, example=60)
    more_credits_in = field(
        fields.Integer,
        "Seconds until more are free; null if none were spent.",
        null=True,
        required=False,
        example=5400,
    )
    downloads_per_month = field(fields.Integer, "Allowed downloads in any 30 days.", required=False, example=5)
    downloads_left = field(fields.Integer, "Downloads left of these.", required=False, example=5)
    more_downloads_in = field(
        fields.Integer,
        "Seconds until more are free; null if none were used.",
        null=True,
        required=False,
        example=None,
    )


class CreditsLeft(Schema):
    """What a Suno account has left. A field is null if Suno does not report it."""

    credits_left = field(fields.Integer, "Credits that can be spent now.", example=EXAMPLE_CREDITS["credits_left"])
    period = text("The plan's period.", EXAMPLE_CREDITS["period"])
    monthly_limit = count("Credits per month in the plan.", 2500)
    monthly_usage = count("Credits spent of these.", 2000)
    downloads_limit = count("Downloads per period in the plan.", 20)
    downloads_used = count("Downloads used of these; a song's stems share one.", 3)
    downloads_extra = count("Extra downloads that were bought and are left.", 0)
    can_split = field(fields.Boolean, "Whether the plan includes stems.", null=True, example=True)
    captcha = field(
        fields.Boolean,
        "Whether Suno's newer split call wants a captcha now; null if Suno does not say.",
        null=True,
        example=False,
    )
    budget = field(
        fields.Nested, "What the operator allows this API key; only if it has a limit.", BudgetLeft, required=False
    )
