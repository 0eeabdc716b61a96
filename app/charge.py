"""Whether a failed request may have been charged."""

from __future__ import annotations


class ChargeIsKnown(Exception):
    """An error that knows whether Suno may have charged. Of any other error that is not known."""

    may_have_charged = False
    """Whether a paid call may have succeeded anyway."""
