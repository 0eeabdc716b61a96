"""Dependencies run one way: web -> splits, accounts -> suno."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

MAY_IMPORT = {
    "app/suno": {"app.suno", "app.addresses", "app.charge"},
    "app/splits": {"app.splits", "app.charge", "app.suno", "app.ids", "app.timing"},
    "app/music": {"app.music", "app.suno"},
    "app/audio": {
        "app.audio",
        "app.music",
        "app.suno",
        "app.addresses",
        "app.allocation",
        "app.names",
        "app.outbound",
    },
    "app/jobs": {
        *(
            "app.jobs",
            "app.splits",
            "app.audio",
            "app.suno",
            "app.accounts",
            "app.callers",
            "app.settings",
            "app.ids",
        ),
        *("app.parts", "app.timing", "app.logs", "app.addresses", "app.outbound"),
    },
    "app/parts.py": {
        *("app.accounts", "app.addresses", "app.audio", "app.jobs.queue", "app.settings", "app.splits", "app.suno"),
    },
    "app/__main__.py": set(),
    "app/accounts.py": {"app.callers", "app.splits", "app.suno"},
    "app/callers.py": {"app.suno"},
    "app/setting_rows.py": {"app.callers", "app.setting_types", "app.suno", "app.timing"},
    "app/settings.py": {"app.callers", "app.setting_rows", "app.setting_types", "app.suno", "app.timing"},
    "app/setting_types.py": {"app.callers", "app.suno"},
    "app/metrics.py": {"app.metrics_files"},
    "app/metrics_files.py": {"app.allocation"},
    "app/allocation.py": set(),
    "app/logs.py": set(),
    "app/mcp.py": set(),
    "clients": {"app.names"},
    "app/names.py": set(),
    "app/serving.py": {
        *(
            "app.logs",
            "app.settings",
            "app.metrics_files",
            "app.socket_files",
            "app.splits.ledger_file",
            "app.splits.known",
            "app.web.current",
        ),
    },
    "app/addresses.py": set(),
    "app/outbound.py": {"app.addresses"},
    "app/socket_files.py": set(),
    "app/ids.py": set(),
    "app/charge.py": set(),
    "app/timing.py": {"app.charge"},
}
"""The modules of the app that each part may import; `app/web` may import all."""


def imports_of(file: Path) -> set[str]:
    """The modules of the app that a file imports, at any level."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return {name for name in found if name.startswith("app.")}


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_only_what_it_may(part: str) -> None:
    files = Path(part).rglob("*.py") if Path(part).is_dir() else [Path(part)]
    for file in files:
        for name in imports_of(file):
            assert any(name == allowed or name.startswith(f"{allowed}.") for allowed in MAY_IMPORT[part]), (
                file,
                name,
            )


def test_every_part_is_listed() -> None:
    parts = {str(path) for path in Path("app").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"app/__init__.py", "app/web", "app/__pycache__"} == set(MAY_IMPORT) - {"clients"}


def test_few_values_have_no_shape() -> None:
    """`dict[str, Any]` is for JSON of others that really has no shape."""
    files = [file.read_text(encoding="utf-8") for file in Path("app").rglob("*.py")]
    assert sum(text.count("dict[str, Any]") for text in files) <= 40
    stored = [file for folder in ("jobs", "splits") for file in Path("app", folder).glob("*.py")]
    shapeless = [file.name for file in stored if "dict[str, Any]" in file.read_text(encoding="utf-8")]
    assert shapeless == ["store.py"], "a record of the ledger, which only its reader knows"


def test_a_module_is_short_enough_to_be_read() -> None:
    lines = {file: file.read_text(encoding="utf-8").count("\n") for file in Path("app").rglob("*.py")}
    assert {file: count for file, count in lines.items() if count > 500} == {}


def test_a_class_name_means_one_class() -> None:
    files = [file for folder in ("app", "sandbox") for file in Path(folder).rglob("*.py")]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    names = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))
    assert sum(count > 1 for count in names.values()) <= 3, names.most_common(5)


def test_told_is_not_the_word_for_everything() -> None:
    """It had five meanings, on 142 lines: in doubt if overdue, a translated error, a reply, samples, the JSON."""
    files = [file for file in Path("app").rglob("*") if file.suffix in (".py", ".js", ".html")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    assert sum("told" in line for line in lines) <= 20


def test_no_module_imports_itself_through_another() -> None:
    files = {
        ".".join(file.with_suffix("").parts).removesuffix(".__init__"): file for file in Path("app").rglob("*.py")
    }
    imports = {
        module: {name if name in files else name.rpartition(".")[0] for name in imports_of(file)} - {module}
        for module, file in files.items()
    }
    # Take away what imports nothing that is left: what remains goes in circles.
    while free := [module for module, others in imports.items() if not others & imports.keys()]:
        for module in free:
            del imports[module]
    assert imports == {}


def test_a_module_of_the_page_is_short_and_has_little_state() -> None:
    modules = {file.name: file.read_text(encoding="utf-8") for file in Path("app/web/static/page").glob("*.js")}
    assert {name: count for name, text in modules.items() if (count := text.count("\n")) > 400} == {}
    assert sum(line.startswith("let ") for line in modules["page.js"].splitlines()) <= 2
