"""Access over real sockets: API keys, hosts and web pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask_cors
import pytest
import werkzeug.sansio.http
import yaml

from tests import stack
from tests.asserts import assert_error
from tests.conftest import SONG, Client, Suno
from tests.in_process import InProcess

KEYS = {"first-key": "9e24b55356ef", "second-key": "f397f260a275"}
"""API keys, each with its name in the log: `printf %s first-key | sha256sum | cut -c 1-12`."""


@pytest.fixture(scope="module")
def guarded(suno: Suno) -> Iterator[Client]:
    """A service on loopback with API keys, pages that may use it, and its own names in Host."""
    settings = {
        "API_KEYS": ", ".join(KEYS),
        "CORS_ORIGINS": "https://app.example.com,http://localhost:5173",
        "TRUSTED_HOSTS": "stems.example.com, .Example.org,[::1]",
        "WEB_CONCURRENCY": "1",
    }
    with stack.service(suno.url, settings) as server:
        yield Client(server, {"Host": "stems.example.com"})


@pytest.fixture(scope="module")
def public(suno: Suno, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service on all addresses, with all that is recommended there; its API keys are in a file."""
    file = tmp_path_factory.mktemp("public") / "keys"
    file.touch(mode=0o600)
    file.write_text(f"# keys of the tests\n{'1' * 16}\n{'2' * 16} # the second\n")
    settings = {"HOST": "0.0.0.0", "API_KEYS": f"@{file}", "TRUSTED_HOSTS": "127.0.0.1", "WEB_CONCURRENCY": "1"}
    with stack.service(suno.url, settings) as server:
        yield Client(server)


def test_the_service_listens_on_ipv6_in_full(suno: Suno) -> None:
    with stack.service(suno.url, {"HOST": "::1", "WEB_CONCURRENCY": "1"}) as server:
        here = Client(server)
        assert server.url.startswith("http://[::1]:")
        assert [here.get(path).status_code for path in ("/", "/readyz", "/metrics", "/api/get_limit")] == [200] * 4
        assert here.get("/", headers={"Host": "evil.example.com"}).status_code == 400, "a name is not loopback"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer first-key,second-key"},
        {"Authorization": "Bearer first-keyy"},
        {"Authorization": "Bearer FIRST-KEY"},
        {"Authorization": "Basic first-key"},
        {"Authorization": "first-key"},
        {"X-API-Key": ""},
        {"X-API-Key": "first-ke"},
        {"X-API-Key": "schlüssel".encode()},
    ],
)
def test_nothing_is_sent_to_suno_without_a_valid_key(
    guarded: Client, suno: Suno, headers: dict[str, str | bytes]
) -> None:
    suno.forget()
    response = guarded.post("/api/generate_stems", json={"audio_id": SONG}, headers=headers)
    assert_error(response, 401, "api_key_required")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="Suno Stems"'
    assert suno.log() == []


def test_refused_keys_are_counted(guarded: Client) -> None:
    def refused() -> float:
        exposition = guarded.get("/metrics", headers={"Host": "[::1]"}).text
        [value] = re.findall(r"^suno_stems_keys_refused_total (.*)$", exposition, re.MULTILINE)
        return float(value)

    before = refused()
    for headers in ({"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}):
        assert guarded.get("/api/get_limit", headers=headers).status_code == 401
    assert refused() == before + 2
    for headers in ({}, {"X-API-Key": ""}, {"Authorization": "Basic x"}, {"X-API-Key": "first-key"}):
        guarded.get("/api/nowhere", headers=headers)
    assert refused() == before + 2, "a request without a key guesses none"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer first-key"},
        {"Authorization": "bearer  second-key"},
        {"X-API-Key": "first-key"},
        {"X-API-Key": "second-key", "Authorization": "Basic dXNlcjpwYXNz"},
    ],
)
def test_a_valid_key_gives_access(guarded: Client, account: str, headers: dict[str, str]) -> None:
    assert guarded.split(cookie=account, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/"), ("GET", "/api/nowhere"), ("PUT", "/api/generate_stems"), ("HEAD", "/api/x")],
)
def test_every_path_under_api_requires_a_key(guarded: Client, method: str, path: str) -> None:
    response = guarded.request(method, path)
    assert response.status_code == 401
    assert "WWW-Authenticate" in response.headers


@pytest.mark.parametrize("path", ["//api/generate_stems", "/api//generate_stems", "/./api/generate_stems", "/API/x"])
def test_no_other_spelling_of_a_path_bypasses_the_keys(guarded: Client, suno: Suno, path: str) -> None:
    suno.forget()
    assert guarded.post(path, json={"audio_id": SONG}).status_code in (308, 401, 404)
    assert suno.log() == []


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/openapi.yaml", "/healthz", "/readyz"])
def test_public_paths_need_no_key(guarded: Client, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_without_api_keys_a_sent_key_is_ignored(service: Client, account: str) -> None:
    response = service.split(cookie=account, headers={"X-API-Key": "anything", "X-Request-ID": f"by-{account}"})
    assert response.status_code == 200
    assert '"caller": null' in next(
        line for line in service.server.logged().splitlines() if f'"by-{account}"' in line
    )


@pytest.mark.parametrize("key", KEYS)
def test_the_log_names_the_key_by_a_short_hash(guarded: Client, key: str) -> None:
    guarded.split("-", headers={"X-API-Key": key, "X-Request-ID": f"with-{KEYS[key]}"})
    assert f'"caller": "{KEYS[key]}"' in line_of(guarded, f"with-{KEYS[key]}")


def line_of(service: Client, request_id: str) -> str:
    return next(line for line in service.server.logged().splitlines() if f'"{request_id}"' in line)


def preflight(service: Client, origin: str) -> dict[str, str]:
    response = service.request(
        "OPTIONS",
        "/api/generate_stems",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,x-api-key,x-request-id,"
            "x-suno-cookie",
        },
    )
    assert response.status_code == 200
    return {name.lower(): value for name, value in response.headers.items()}


def test_a_page_of_cors_origins_may_send_all_our_headers(guarded: Client) -> None:
    answer = preflight(guarded, "https://app.example.com")
    assert answer["access-control-allow-origin"] == "https://app.example.com"
    allowed = set(answer["access-control-allow-headers"].lower().split(", "))
    assert allowed == {
        "authorization",
        "content-type",
        "idempotency-key",
        "x-api-key",
        "x-request-id",
        "x-suno-cookie",
    }
    assert "access-control-allow-credentials" not in answer
    paths = yaml.safe_load(Path("openapi.yaml").read_text())["paths"]
    methods = {name.upper() for path, named in paths.items() if path.startswith("/api/") for name in named}
    assert set(answer["access-control-allow-methods"].split(", ")) == methods - {"PARAMETERS"}


def test_a_preflight_that_names_thousands_of_headers_gets_none(
    in_process: Callable[..., InProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, compared = in_process(CORS_ORIGINS="https://app.example.com", API_KEYS="first-key"), []
    match = flask_cors.core.re.match
    monkeypatch.setattr(flask_cors.core.re, "match", lambda *given: compared.append(given) or match(*given))
    names = ",".join(["authorization", *(f"x-{number}" for number in range(2_000))])
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    headers["Access-Control-Request-Headers"] = names
    response = service.request("OPTIONS", "/api/generate_stems", headers=headers)
    assert "Access-Control-Allow-Headers" not in response.headers
    assert len(compared) < 10


def test_a_range_header_of_thousands_of_ranges_is_ignored(service: Client) -> None:
    path, plain = "/docs/swagger-ui-bundle.js", {"Accept-Encoding": "identity"}
    assert service.get(path, headers={"Range": "bytes=0-9", **plain}).status_code == 206
    many = "bytes=" + ",".join(f"{first}-{first}" for first in range(0, 2_000, 2))
    assert service.get(path, headers={"Range": many, **plain}).status_code == 200


def test_a_list_of_thousands_of_etags_is_ignored(
    in_process: Callable[..., InProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, read = in_process(), []
    etag = service.get("/openapi.json").headers["ETag"]
    parse = werkzeug.sansio.http.parse_etags
    monkeypatch.setattr("werkzeug.sansio.http.parse_etags", lambda text: read.append(text or "") or parse(text))
    assert service.get("/openapi.json", headers={"If-None-Match": f'"a", {etag}'}).status_code == 304
    assert any(etag in text for text in read)
    for many in ("," * 16_000, '"a",' * 4_000 + etag):
        assert service.get("/openapi.json", headers={"If-None-Match": many}).status_code == 200
    assert max(map(len, read)) < 1_000


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/page/x/page.js"])
def test_a_list_of_thousands_of_encodings_is_ignored(in_process: Callable[..., InProcess], path: str) -> None:
    service = in_process()
    assert service.get(path, headers={"Accept-Encoding": "br, gzip"}).headers["Content-Encoding"] == "gzip"
    for many in ("a," * 8_000 + "gzip", "gzip;q=0.1," * 1_400):
        response = service.get(path, headers={"Accept-Encoding": many})
        assert (response.status_code, response.headers.get("Content-Encoding")) == (200, None)


def test_a_page_of_cors_origins_may_read_a_part_of_a_file(guarded: Client) -> None:
    wanted = "if-none-match, if-range, range"
    response = guarded.request(
        "OPTIONS",
        "/api/audio/a.wav",
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": wanted,
        },
    )
    assert response.headers["Access-Control-Allow-Headers"].lower() == wanted


def test_a_page_of_cors_origins_may_also_read_errors(guarded: Client) -> None:
    for headers in ({}, {"X-API-Key": "first-key"}):
        response = guarded.post("/api/generate_stems", headers={"Origin": "http://localhost:5173", **headers})
        assert response.status_code in (400, 401)
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
        readable = set(response.headers["Access-Control-Expose-Headers"].split(", "))
        file_headers = {"Content-Disposition", "Content-Range", "ETag"}
        assert readable == {"X-Request-ID"} | file_headers | headers_in(
            yaml.safe_load(Path("openapi.yaml").read_text())
        )


def headers_in(spec: dict[str, Any]) -> set[str]:
    """The reply headers that the spec documents under /api/."""
    operations = [
        operation
        for path, methods in spec["paths"].items()
        if path.startswith("/api/")
        for operation in methods.values()
    ]
    replies = [
        reply for operation in operations if "responses" in operation for reply in operation["responses"].values()
    ]
    return {name for reply in replies for name in reply.get("headers", ())}


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.com.evil.example", "null"])
def test_a_page_of_another_origin_gets_no_cors_headers(guarded: Client, service: Client, origin: str) -> None:
    assert "access-control-allow-origin" not in preflight(guarded, origin)
    assert "access-control-allow-origin" not in preflight(service, origin)


def test_cors_is_closed_by_default(service: Client) -> None:
    assert not [name for name in preflight(service, "https://app.example.com") if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/api/generate_stems", "/docs", "/openapi.json", "/healthz", "/metrics", "/nowhere"]
)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "localhost.", "a b"])
def test_a_foreign_host_name_is_refused_on_loopback(service: Client, path: str, host: str) -> None:
    body = assert_error(service.get(path, headers={"Host": host}), 400, "invalid_request")
    assert "TRUSTED_HOSTS" in body["error"]


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:9", "127.0.0.1:1", "127.1.2.3", "[::1]", "[::1]:80", "x.localhost"]
)
def test_loopback_names_are_accepted_on_loopback_with_any_port(service: Client, host: str) -> None:
    assert service.get("/healthz", headers={"Host": host}).status_code == 200


def test_only_trusted_hosts_are_accepted(guarded: Client) -> None:
    for host in ("stems.example.com", "STEMS.example.com:81", "example.org", "a.b.example.org", "[::1]:3000"):
        assert guarded.get("/healthz", headers={"Host": host}).status_code == 200, host
    for host in ("example.com", "x.stems.example.com", "notexample.org", "127.0.0.1", "localhost"):
        assert_error(guarded.get("/healthz", headers={"Host": host}), 400, "invalid_request")


def test_any_host_is_accepted_beyond_loopback_and_the_dangers_are_logged(
    in_process: Callable[..., InProcess], capfd: pytest.CaptureFixture[str]
) -> None:
    service = in_process(HOST="0.0.0.0", CORS_ORIGINS="*")
    assert service.get("/healthz", headers={"Host": "10.1.2.3"}).status_code == 200
    logged = capfd.readouterr().err
    assert "anyone who can reach the port can spend the account's credits" in logged
    assert "those web pages can spend" in logged
    assert "TRUSTED_HOSTS is not set" in logged


def test_no_warning_is_logged_beyond_loopback_with_keys_and_hosts(public: Client) -> None:
    assert "WARNING" not in public.server.logged()
    assert_error(public.get("/healthz", headers={"Host": "10.1.2.3"}), 400, "invalid_request")


def test_keys_may_be_in_a_file(public: Client, account: str) -> None:
    assert_error(public.split(cookie=account), 401, "api_key_required")
    assert public.split(cookie=account, headers={"X-API-Key": "2" * 16}).status_code == 200
    for comment in ("#", "# keys of the tests", "# the second"):
        assert_error(public.split(cookie=account, headers={"X-API-Key": comment}), 401, "api_key_required")


def test_short_keys_are_named_in_a_warning_without_their_text(guarded: Client, public: Client) -> None:
    [line] = [line for line in guarded.server.logged().splitlines() if "fewer than 16 characters" in line]
    assert "API_KEYS has 2 keys" in line
    assert "2.0 will refuse them" in line
    assert not [key for key in KEYS if key in line]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://elsewhere.example"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "{url}"},
        {"Origin": "https://stems.example.com"},
        {"Origin": "https://app.example.com", "Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["/api/audio", "/api/requests/an-id/webhook"])
def test_programs_and_own_pages_may_post(open_service: Client, headers: dict[str, str], path: str) -> None:
    headers = {name: value.format(url=open_service.url) for name, value in headers.items()}
    assert open_service.post(path, headers=headers).status_code in (400, 404)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://app.example.com.evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[nonsense"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/api/generate_stems", "/api/audio", "/api/download", "/api/requests/an-id/webhook"]
)
def test_pages_of_other_sites_may_not_post(open_service: Client, headers: dict[str, str], path: str) -> None:
    body = assert_error(open_service.post(path, headers=headers), 403, "not_allowed")
    assert "CORS_ORIGINS" in body["error"]


def test_the_key_decides_if_a_key_is_required(guarded: Client) -> None:
    headers = {"X-API-Key": "first-key", "Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"}
    assert_error(guarded.post("/api/audio", headers=headers), 400, "invalid_request")


NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1"}
READS = ("/api/get_limit", "/api/get", "/api/audio/an-id.wav", "/api/stems.zip?audio_id=a&format=mp3", "/api/nowhere")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "audio"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Mode": "cors", "Origin": "https://evil.example"},
        NAVIGATION | {"Sec-Fetch-Dest": "iframe"},
        NAVIGATION | {"Sec-Fetch-User": "?0"},
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {},
    ],
)
def test_pages_of_other_sites_may_not_read(
    open_service: Client, suno: Suno, headers: dict[str, str], site: str
) -> None:
    suno.forget()
    for path in READS:
        body = assert_error(open_service.get(path, headers=headers | {"Sec-Fetch-Site": site}), 403, "not_allowed")
        assert "CORS_ORIGINS" in body["error"]
    assert open_service.request("HEAD", READS[0], headers=headers | {"Sec-Fetch-Site": site}).status_code == 403
    # Requests of earlier tests may still look for their stems, with accounts of their own.
    assert [entry for entry in suno.log() if not str(entry["account"]).startswith("sandbox-load-")] == []


def test_an_origin_without_a_site_may_not_read(open_service: Client) -> None:
    """Browsers send no Sec-Fetch-Site to plain http."""
    assert_error(open_service.get("/api/get_limit", headers={"Origin": "http://evil.example"}), 403, "not_allowed")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "audio"},
        {"Sec-Fetch-Site": "none"} | NAVIGATION,
        {"Sec-Fetch-Site": "cross-site"} | NAVIGATION,
        {"Sec-Fetch-Site": "same-site"} | NAVIGATION,
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": "https://app.example.com"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Origin": "https://stems.example.com"},
    ],
)
def test_programs_people_and_allowed_pages_may_read(open_service: Client, headers: dict[str, str]) -> None:
    assert open_service.get("/api/get_limit", headers=headers).status_code == 200


def test_a_signed_address_may_be_embedded_anywhere(open_service: Client) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "audio"}
    for file in ("an-id.wav", "an-id.peaks.json"):
        response = open_service.get(f"/api/audio/{file}?token=forged", headers=headers)
        body = assert_error(response, 403, "not_allowed")
        assert "another site" not in body["error"], "its signature decides"
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    # Only these addresses can be signed.
    assert open_service.get("/api/get_limit?token=forged", headers=headers).status_code == 403


def test_pages_of_other_sites_may_read_with_any_origin_allowed(in_process: Callable[..., InProcess]) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert in_process(CORS_ORIGINS="*").get("/api/get_limit", headers=headers).status_code == 200


def test_a_key_allows_reads_from_any_site(guarded: Client) -> None:
    headers = {"X-API-Key": "first-key", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert guarded.get("/api/get_limit", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.yaml", "/healthz", "/page/page.js"])
def test_what_is_public_may_be_read_from_any_site(open_service: Client, path: str) -> None:
    assert open_service.get(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/api/get_limit", 200), ("/api/nowhere", 404), ("/api/get?page=x", 400)]
)
def test_replies_of_the_api_are_not_kept_and_not_embedded(open_service: Client, path: str, status: int) -> None:
    response = open_service.get(path)
    assert response.status_code == status
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response.headers["Cache-Control"] == "private, no-store"


@pytest.fixture(scope="module")
def open_service(suno: Suno) -> Iterator[Client]:
    """A service without API keys, with its public URL and one allowed origin."""
    settings = {"CORS_ORIGINS": "https://app.example.com", "PUBLIC_URL": "https://stems.example.com/stems/"}
    with stack.service(suno.url, settings | {"WEB_CONCURRENCY": "1"}) as server:
        yield Client(server)
