"""Schemas of what is measured of a file."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from app.audio.facts import Fault

EXAMPLE_MEASURES = {
    "sample_rate": 48_000,
    "channels": 2,
    "frames": 8_803_200,
    "peak_dbfs": -1.32,
    "loudness_lufs": -18.4,
    "same_length": True,
    "lag_ms": 0.0,
    "residual_dbfs": -92.4,
    "faults": [],
}
NOT_MEASURED = "null until it is measured."
NOT_COMPARED = "null until the song itself and all stems of the take are kept in this format."


def _measure(kind: type[fields.Field[Any]], name: str, description: str) -> fields.Field[Any]:
    metadata = {"description": description, "example": EXAMPLE_MEASURES[name]}
    return kind(required=True, allow_none=True, attribute=f"measures.{name}", metadata=metadata)


class MeasuredFile(Schema):
    """The measures of a kept file."""

    sample_rate = _measure(fields.Integer, "sample_rate", f"Hertz; {NOT_MEASURED}")
    channels = _measure(fields.Integer, "channels", f"1 or 2; {NOT_MEASURED}")
    frames = _measure(fields.Integer, "frames", f"Samples of each channel; {NOT_MEASURED}")
    peak_dbfs = _measure(fields.Float, "peak_dbfs", "The highest sample; null also for digital silence.")
    loudness_lufs = _measure(fields.Float, "loudness_lufs", "Integrated loudness (EBU R 128), from -70.")
    same_length = _measure(fields.Boolean, "same_length", f"Whether it is as long as the song; {NOT_COMPARED}")
    lag_ms = _measure(
        fields.Float, "lag_ms", "Milliseconds by which it starts later than in the song; null if that is unclear."
    )
    residual_dbfs = _measure(
        fields.Float, "residual_dbfs", f"Level of the song without all stems of its take; {NOT_COMPARED}"
    )
    faults = fields.List(
        fields.String(metadata={"enum": [fault.value for fault in Fault]}),
        required=True,
        attribute="measures.faults",
        metadata={"description": "What is wrong with it, by its measures.", "example": []},
    )
