"""The web page: find a song, split it, play and mix its stems, save them."""

from __future__ import annotations

from flask import Blueprint, Response, render_template

from app.suno.stems import StemTask
from app.web.current import parts
from app.web.docs import secure

STEM_NAMES = (
    *("Lead Vocal", "Backing Vocals", "Drum Kit", "Bass", "Lead Electric Guitar", "Rhythm Electric Guitar", "Guitar"),
    *("Keyboards", "Percussion", "String Section", "Synth", "Sound Effects", "Brass Section", "Woodwinds"),
)
"""The parts that Suno's page offers to split off (two clients, 2026-09). The API accepts any name; Suno decides."""

blueprint = Blueprint("page", __name__, static_folder="static/page", static_url_path="/page")
blueprint.after_request(secure)


@blueprint.get("/favicon.ico")
def icon() -> Response:
    """Serve the icon where browsers look for it by default."""
    return blueprint.send_static_file("icon.svg")


@blueprint.get("/")
def page() -> str:
    """Show the page."""
    prices = {task.value: parts().settings.prices[task] for task in StemTask}
    return render_template("page.html", prices=prices, stem_names=STEM_NAMES)
