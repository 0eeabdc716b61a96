"""The spec, Swagger UI and the docs match the service."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from app.suno.cookie import HOW_TO_COPY
from app.web import docs
from app.web.errors import ErrorCode
from tests.conftest import Client
from tests.in_process import InProcess
from tools.reference import PAGES

README = Path("README.md").read_text(encoding="utf-8")
ERRORS = Path("docs/errors.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def spec(service: Client) -> dict[str, Any]:
    return service.get("/openapi.json").json()


METHODS = {"get", "post", "delete"}


def operations(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [path[method] for path in spec["paths"].values() for method in path if method in METHODS]


def test_the_spec_is_valid_openapi_3_1(spec: dict[str, Any]) -> None:
    assert spec["openapi"] == "3.1.0"
    validate(spec)


def test_the_committed_spec_is_the_served_one(service: Client, spec: dict[str, Any]) -> None:
    assert yaml.safe_load(Path("openapi.yaml").read_text(encoding="utf-8")) == spec, "run `make openapi`"
    assert service.get("/openapi.yaml").content == Path("openapi.yaml").read_bytes()


@pytest.mark.parametrize("path", ["/openapi.json", "/openapi.yaml"])
def test_no_reader_waits_until_a_file_of_the_spec_is_written(
    in_process: Callable[..., InProcess], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    service, written = in_process(), []
    for module, name in ((yaml, "dump"), (json, "dumps")):
        write = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, write=write, **how: written.append(1) or write(*given, **how)
        )
    replies = [service.get(path) for _ in range(5)]
    assert written == []
    assert {reply.content for reply in replies} == {replies[0].content}


@pytest.mark.parametrize("path", ["/openapi.json", "/openapi.yaml", "/docs/swagger-ui-bundle.js"])
def test_an_unchanged_file_is_not_sent_again(service: Client, path: str) -> None:
    first = service.get(path)
    etag = first.headers["ETag"]
    assert re.fullmatch('"[0-9a-f]{32}"', etag)
    assert re.fullmatch(r"public, max-age=\d+", first.headers["Cache-Control"])
    for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = service.get(path, headers={"If-None-Match": sent})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    assert service.get(path, headers={"If-None-Match": '"other"'}).content == first.content
    plain = service.get(path, headers={"Accept-Encoding": "identity"})
    assert plain.content == first.content and plain.headers["ETag"] != etag
    head = service.request("HEAD", path, headers={"Accept-Encoding": "identity"})
    assert (head.headers["Content-Length"], head.headers["ETag"]) == (str(len(plain.content)), plain.headers["ETag"])


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/openapi.yaml", "/docs/swagger-ui-bundle.js"])
def test_text_is_sent_compressed(service: Client, path: str) -> None:
    sizes = {}
    for encoding in ("gzip", "br, gzip;q=0.5", "*", "identity", "gzip;q=0", "br"):
        reply = service.get(path, headers={"Accept-Encoding": encoding})
        assert reply.headers["Vary"] == "Accept-Encoding"
        sizes[encoding] = int(reply.headers["Content-Length"])
        is_small = reply.headers.get("Content-Encoding") == "gzip"
        assert is_small == (encoding in ("gzip", "br, gzip;q=0.5", "*"))
        part = service.get(path, headers={"Accept-Encoding": encoding, "Range": "bytes=0-9"})
        assert part.status_code == (200 if is_small else 206), "a part of the compressed form would be of no use"
    assert 3 * sizes["gzip"] < sizes["identity"] or path == "/"
    assert sizes["gzip"] < sizes["identity"]


def test_a_file_of_swagger_ui_is_read_once_and_under_one_name(
    in_process: Callable[..., InProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, read = in_process(), []
    docs._asset.cache_clear()
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or read_bytes(path))
    assert {service.get("/docs/swagger-ui.css").status_code for _ in range(3)} == {200}
    assert len(read) == 1
    for other in (
        ".//swagger-ui.css",
        "./swagger-ui.css",
        "..%2fdist%2fswagger-ui.css",
        "%00",
        "nothing",
        "..",
        "%5c",
        "x" * 300,
        "x" * 8_000,
    ):
        assert service.get(f"/docs/{other}").status_code in (302, 404), other
    assert len(read) == docs._asset.cache_info().currsize == 1


def test_every_operation_is_ready_for_a_client_generator(spec: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(spec)]
    assert len(ids) == len(set(ids))
    for operation in operations(spec):
        assert operation["summary"]
        assert operation["description"]
        for status, response in operation["responses"].items():
            if status not in ("default", "204"):
                media, *others = response["content"].values()
                if media["schema"].get("format") == "binary":
                    continue
                assert others == []
                assert media.get("example") is not None or media.get("examples"), (operation["operationId"], status)


def test_every_field_is_described(spec: dict[str, Any]) -> None:
    for name, schema in spec["components"]["schemas"].items():
        for field, definition in schema.get("properties", {"": schema}).items():
            assert definition.get("description"), (name, field)


@pytest.mark.parametrize("address", ["https://stems.example.com", "https://stems.example.com/stems/"])
def test_the_spec_can_be_imported_as_a_gpt_action(in_process: Callable[..., InProcess], address: str) -> None:
    """The limits of ChatGPT's importer: one absolute address, and 300 characters for a text."""
    service = in_process(PUBLIC_URL=address)
    imported = service.get("/openapi.json").json()
    assert [server["url"] for server in imported["servers"]] == [address.rstrip("/")]
    assert yaml.safe_load(service.get("/openapi.yaml").text)["servers"] == imported["servers"]
    found = operations(imported)
    for operation in found:
        assert re.fullmatch("[A-Za-z0-9_-]{1,64}", operation["operationId"])
        for text in (operation["summary"], operation["description"]):
            assert len(text) <= 300, (operation["operationId"], len(text))
        for parameter in operation.get("parameters", []):
            assert len(parameter["description"]) <= 300, parameter["name"]
        assert set(operation.get("requestBody", {}).get("content", {})) <= {"application/json"}
    for name, schema in imported["components"]["schemas"].items():
        for field, definition in schema.get("properties", {}).items():
            assert len(definition["description"]) <= 300 or field == "checks", (name, field)


def parameters_and_bodies(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything in the spec that has a schema and may have examples, with its place."""
    for path, of_path in spec["paths"].items():
        for method, operation in of_path.items():
            parameters = operation if method == "parameters" else operation.get("parameters", [])
            yield from ((f"{method} {path} {parameter['name']}", parameter) for parameter in parameters)
            if method == "parameters":
                continue
            bodies = [("body", operation.get("requestBody", {})), *operation["responses"].items()]
            for name, body in bodies:
                yield from ((f"{method} {path} {name}", media) for media in body.get("content", {}).values())
    for name, schema in spec["components"]["schemas"].items():
        for field, definition in schema.get("properties", {}).items():
            yield f"{name}.{field}", {"schema": definition}


def test_every_example_conforms_to_its_schema(spec: dict[str, Any]) -> None:
    wrong, number = [], 0
    for place, part in parameters_and_bodies(spec):
        examples = [each["value"] for each in part.get("examples", {}).values()]
        examples += [of["example"] for of in (part, part["schema"]) if "example" in of]
        examples += [part["schema"]["default"]] if "default" in part["schema"] else []
        validator = Draft202012Validator({**part["schema"], "components": spec["components"]})
        for example in examples:
            number += 1
            wrong += [(place, error.message) for error in validator.iter_errors(example)]
    assert (wrong, number > 400) == ([], True)


def test_files_in_replies_are_typed_for_generators(spec: dict[str, Any]) -> None:
    """One generator of two gives a type to application/octet-stream only, and none to audio/*."""
    found = {}
    for operation in operations(spec):
        content = operation["responses"].get("200", {}).get("content", {})
        if any(media["schema"].get("format") == "binary" for media in content.values()):
            found[operation["operationId"]] = set(content)
    assert {"getAudio", "getCover", "getStemsZip", "getDawproject"} <= set(found)
    for types in found.values():
        assert "application/octet-stream" in types
        assert not any("*" in type for type in types)


COOKIE_PLACES = (
    "README.md",
    "docs/deploy.md",
    "docs/incidents.md",
    "app/web/templates/page.html",
    "app/suno/cookie.py",
)


def test_there_is_one_way_to_get_the_cookie_in_one_text() -> None:
    for path in (*Path("docs").glob("*.md"), *Path("app").rglob("*.*"), Path("README.md")):
        if path.suffix not in (".md", ".py", ".html", ".js"):
            continue
        text = re.sub(r"<[^>]*>|[`*]|\"\n *f?\"", "", path.read_text(encoding="utf-8"))
        text = " ".join(text.split())
        assert text.count("choose a request to") == text.count(HOW_TO_COPY), path
        assert (HOW_TO_COPY in text) == (str(path) in COOKIE_PLACES), path
        assert "signed in to suno.com" not in text or str(path) == "app/web/docs.py", path


def test_every_error_code_is_in_the_spec_and_the_docs() -> None:
    spec = Path("openapi.yaml").read_text(encoding="utf-8")
    for code in ErrorCode:
        assert f"`{code.slug}`" in spec or code in {ErrorCode.NOT_FOUND, ErrorCode.METHOD_NOT_ALLOWED}
        assert f"| {code.status} | `{code.slug}` | {code.meaning} |" in ERRORS, code


def test_the_spec_has_every_way_to_send_an_account_and_an_api_key(spec: dict[str, Any]) -> None:
    schemes = spec["components"]["securitySchemes"]
    ways = {(scheme.get("in") or scheme["scheme"], scheme.get("name")) for scheme in schemes.values()}
    assert ways == {
        ("header", "X-Suno-Cookie"),
        ("cookie", "__client"),
        ("header", "X-Suno-Account"),
        ("bearer", None),
        ("header", "X-API-Key"),
    }
    assert {} in spec["security"]
    assert {name for way in spec["security"] for name in way} == set(schemes)


def test_every_call_under_api_documents_that_it_may_require_a_key(spec: dict[str, Any]) -> None:
    for path, methods in spec["paths"].items():
        for method in METHODS & set(methods):
            operation = methods[method]
            documented = "api_key_required" in str(operation["responses"].get("401"))
            assert documented == (path.startswith("/api/") or path == "/metrics"), path


def test_docs_with_a_trailing_slash_redirects_to_swagger_ui(service: Client) -> None:
    response = service.get("/docs/")
    assert (response.status_code, response.headers["Location"]) == (302, "../docs"), "relative: see test_path.py"


def test_swagger_ui_loads_everything_from_this_service(service: Client) -> None:
    page = service.get("/docs")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 4
    for asset in assets:
        assert not asset.startswith(("/", "http")), "relative: see test_path.py"
        assert service.get(f"/{asset}").status_code == 200
    assert "<script>" not in page.text


def test_every_operation_is_in_the_docs(spec: dict[str, Any]) -> None:
    api = Path("docs/api.md").read_text(encoding="utf-8").partition("## All endpoints")[2].partition("\n## ")[0]
    for path, operations in spec["paths"].items():
        for method in METHODS & set(operations):
            assert f"`{method.upper()} {path}" in api or f"`{path}`" in api, (method, path)


PRICE = re.compile(
    r"\b(10|50|ten|fifty)\b[^.|]{0,20}\bcredits?\b|\bcredits?\b[^.|]{0,30}\b(10|50|ten|fifty)\b"
    r"|\b(costs?|takes?|needs?|take:|twelve`:)( about)? (10\b|50\b|\{price|\{PRICES)|\| (10|50)\b[^|]*\|$",
    re.IGNORECASE,
)
"""What reads like the price of a split."""
WHOSE_FIGURE = re.compile(
    r"reported|help pages|Suno says|assumes|counts as|_CREDITS` \||MB a minute|^\"?credits\"?: 10,?$"
)
"""Who says so, or that it is another figure, or an example."""


def test_each_price_of_a_split_says_whose_figure_it_is() -> None:
    suffixes = {".md", ".py", ".js", ".mjs", ".html", ".yaml", ".yml", ".json", ".php", ".go", ".sh", ".conf"}
    folders = [file for name in ("app", "clients", "docs", "examples", "deploy") for file in Path(name).rglob("*.*")]
    found = [
        f"{file}:{number}: {line.strip()[:160]}"
        for file in (Path("README.md"), Path("openapi.yaml"), *folders)
        if file.suffix in suffixes
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if PRICE.search(line) and not WHOSE_FIGURE.search(line.strip())
    ]
    assert found == []


def test_every_make_command_is_in_the_readme() -> None:
    makefile = Path("Makefile").read_text(encoding="utf-8")
    commands = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert len(commands) > 20
    assert commands - set(re.findall(r"`?\bmake ([a-z-]+)", README)) == set()


def test_generated_pages_match_the_code() -> None:
    for name, page in PAGES.items():
        assert (Path("docs") / name).read_text(encoding="utf-8") == page(), "run `make reference`"


def test_the_readme_has_at_most_900_words() -> None:
    assert len(README.split()) <= 900


ROLES = ("producer", "caller", "operator")


def test_each_role_has_a_page_of_at_most_1200_words_and_they_come_first() -> None:
    navigation = yaml.safe_load(Path("tools/mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert navigation[:4] == ["index.md", *(f"{role}.md" for role in ROLES)]
    links = re.findall(r"\(docs/([a-z-]+)\.md\)", README.partition("## Documentation")[2])
    assert tuple(links[:3]) == ROLES
    for role in ROLES:
        assert len(Path(f"docs/{role}.md").read_text(encoding="utf-8").split()) <= 1_200, role


def test_every_page_that_is_written_by_hand_has_at_most_1200_words_beside_its_examples() -> None:
    for page in {path.name for path in Path("docs").glob("*.md")} - set(PAGES) - {"CHANGELOG.md"}:
        text = Path("docs", page).read_text(encoding="utf-8")
        beside_examples = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert len(beside_examples.split()) <= 1_200, page


def test_every_page_and_every_example_is_linked() -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in (*Path("docs").glob("*.md"), Path("README.md"))}
    for name in (*pages, *(path.name for path in Path("examples").iterdir() if path.is_file())):
        linked = re.compile(rf"\]\([\w./]*\b{re.escape(name)}[#)]")
        assert any(linked.search(text) for page, text in pages.items() if page != name), name


def test_the_quick_start_begins_with_the_two_commands_that_install_everything() -> None:
    quick_start = README.partition("## Quick start")[2].partition("\n## ")[0]
    assert re.findall(r"^\$ (make [a-z]+)", quick_start, re.MULTILINE)[:2] == ["make demo", "make test"]


def test_the_proofs_that_the_docs_name_exist() -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)`", Path("docs/proofs.md").read_text(encoding="utf-8"))
    assert len(named) >= 7
    assert [name for name in named if not Path(name).exists()] == []


def test_the_docs_say_what_each_folder_is_for_and_each_module_says_it_itself() -> None:
    tree = Path("docs/architecture.md").read_text(encoding="utf-8").partition("## The tree")[2]
    for folder in ("app", "clients/mcp", "sandbox", "tools"):
        for module in Path(folder).rglob("*.py"):
            assert f"| `{module.parent}/` |" in tree, module
            assert module.read_text(encoding="utf-8").startswith('"""'), module
