"""An mkdocs hook: add the README to the site, and keep the links between them working."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md"}
FOLDERS = ("examples", "deploy", "bench", "tests/deploy")
"""Their files are part of the site, unchanged, so that links to them work."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/."""
    for source, target in PAGES.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text(encoding="utf-8")))
    for folder in FOLDERS:
        for path in (ROOT / folder).glob("*"):
            if path.suffix in {".conf", ".sh", ".py", ".mjs", ".go", ".php", ".json", ".yaml", ".yml", ".service"}:
                files.append(File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links from the repository's root, and out of docs/, into links from the site's root."""
    markdown = re.sub(r"\]\(bench/README\.md\)", "](bench/__main__.py)", markdown)
    return re.sub(r"\]\((?:docs/|\.\./)", "](", markdown)
