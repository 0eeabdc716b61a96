"""The web page: find a song, split it, play and mix its stems, save them."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, abort, render_template

from app.suno.stems import StemTask
from app.web.current import parts
from app.web.docs import secure
from app.web.document import Document

STEM_NAMES = (
    *("Lead Vocal", "Backing Vocals", "Drum Kit", "Bass", "Lead Electric Guitar", "Rhythm Electric Guitar", "Guitar"),
    *("Keyboards", "Percussion", "String Section", "Synth", "Sound Effects", "Brass Section", "Woodwinds"),
)
"""The parts that Suno's page offers to split off (two clients, 2026-09). The API accepts any name; Suno decides."""

FILES = Path(__file__).parent / "static/page"

CACHED_FOR_A_YEAR = "public, max-age=31536000, immutable"
"""For addresses with the version of the files."""

_IMPORTED = re.compile(r'^(?:import|export|\})[^;()]*?"\./([a-z0-9_-]+\.js)";', re.MULTILINE)

blueprint = Blueprint("page", __name__, static_folder="static/page", static_url_path="/page")
blueprint.after_request(secure)


@blueprint.get("/favicon.ico")
def icon() -> Response:
    """Serve the icon where browsers look for it by default."""
    return _document("icon.svg", "no-cache").reply()


@blueprint.get("/page/<version>/<name>")
def file(version: str, name: str) -> Response:
    """Serve a file of the page. While two versions run, one may be asked for the other's: that is not cached."""
    return _document(name, CACHED_FOR_A_YEAR if version == files_version() else "no-cache").reply()


@blueprint.get("/")
def page() -> Response:
    """Show the page."""
    settings = parts().settings
    prices = tuple((task.value, settings.prices[task]) for task in StemTask)
    return _page(prices, settings.page_notice).reply()


@cache
def files_version() -> str:
    """The version of all files of the page together: modules address each other without one."""
    contents = "".join(f"{name} {hashlib.sha256(content).hexdigest()}\n" for name, content in _files().items())
    return hashlib.sha256(contents.encode()).hexdigest()[:12]


@cache
def modules(root: str) -> Sequence[str]:
    """A module and all that it imports at once, directly or not: a browser finds them only one after the other."""
    found = [root]
    for name in found:
        found += [each for each in dict.fromkeys(_IMPORTED.findall(_files()[name].decode())) if each not in found]
    return found


@cache
def _files() -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(FILES.iterdir()) if path.is_file()}


@cache
def _document(name: str, cache_control: str) -> Document:
    """A file of the page. Raises NotFound, which is not cached."""
    if name not in _files():
        abort(404)
    mimetype = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Document.of(_files()[name], mimetype, cache_control)


@cache
def _page(prices: tuple[tuple[str, int], ...], notice: str) -> Document:
    start = modules("page.js")
    later = [name for name in modules("song-pane.js") if name not in start]
    of_files = {"version": files_version(), "start": start, "later": later}
    html = render_template("page.html", prices=dict(prices), notice=notice, stem_names=STEM_NAMES, **of_files)
    return Document.of(html.encode(), "text/html", "no-cache")
