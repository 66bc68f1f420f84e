"""The demo page: what it may load, what it must not contain, and its data about Redis."""

import re
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any, Final

import pytest
from starlette.testclient import TestClient

from bff.errors import StoreUnavailable
from bff.sandbox.catalogue import PRODUCTS
from bff.sandbox.storefront import HEADERS, MEDIA_TYPES, create_storefront

WEB: Final = {entry.name: entry.read_text("utf-8") for entry in (files("bff.sandbox") / "web").iterdir()}
SCRIPTS: Final = sorted(name for name in WEB if name.endswith(".js"))
ROWS: Final = [
    {"key": "bff:s:5f0c", "type": "string", "ttlSeconds": 86399, "preview": "9a41c0", "bytes": 612},
]


async def _rows() -> list[dict[str, Any]]:
    return ROWS


def _client(list_records: Callable[[], Awaitable[list[dict[str, Any]]]] = _rows) -> TestClient:
    app = create_storefront(
        tenant="acmeshop",
        site="main",
        demo_email="ada@example.com",
        demo_password="correct-horse",
        list_records=list_records,
    )
    return TestClient(app)


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, *names: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags for name in names if name in attrs]


PAGE: Final = _Tags(WEB["index.html"])


@pytest.mark.parametrize(
    "path",
    ["/", "/assets/shop.js", "/pictures/cloudbank.svg", "/demo/config.json", "/nowhere", "/assets/none.js"],
)
def test_every_response_has_the_page_headers(path: str) -> None:
    answer = _client().get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_the_policy_allows_nothing_inline_and_nothing_foreign() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "http" not in policy


def test_the_page_and_every_asset_have_the_right_media_type() -> None:
    client = _client()
    assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"
    for name in WEB.keys() - {"index.html"}:
        answer = client.get(f"/assets/{name}")
        assert answer.status_code == 200
        assert answer.text == WEB[name]
        assert answer.headers["content-type"] == MEDIA_TYPES["." + name.rpartition(".")[2]]


def test_an_unchanged_asset_is_not_sent_again() -> None:
    client = _client()
    etag = client.get("/assets/shop.css").headers["etag"]
    again = client.get("/assets/shop.css", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/assets/shop.css", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/assets/",
        "/assets/index.html",
        "/assets/..%2fstorefront.py",
        "/assets/%2e%2e/storefront.py",
        "/pictures/no-such-thing.svg",
        "/pictures/..%2f..%2fsecret.svg",
        "/pictures/%3Cscript%3E.svg",
    ],
)
def test_an_unknown_path_gets_a_plain_404(path: str) -> None:
    answer = _client().get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == "There is no such page.\n"


def test_a_wrong_method_gets_a_405_with_allow() -> None:
    answer = _client().post("/")
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


def test_each_product_has_a_picture() -> None:
    client = _client()
    for product_id in PRODUCTS:
        answer = client.get(f"/pictures/{product_id}.svg")
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.text.startswith("<svg")
        assert not re.search(r"<script|\son\w+=|<foreignObject", answer.text)


def test_the_configuration_contains_tenant_site_and_demo_customer() -> None:
    assert _client().get("/demo/config.json").json() == {
        "tenant": "acmeshop",
        "site": "main",
        "demo": {"email": "ada@example.com", "password": "correct-horse"},
        "sso": [],
    }


def test_the_configuration_lists_the_identity_providers() -> None:
    app = create_storefront(
        tenant="acmeshop",
        site="main",
        demo_email="a@b.c",
        demo_password="x",
        list_records=_rows,
        sso=("corp", "club"),
    )
    assert TestClient(app).get("/demo/config.json").json()["sso"] == ["corp", "club"]


def test_redis_records_are_returned_and_not_cached() -> None:
    answer = _client().get("/demo/redis")
    assert answer.json() == ROWS
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("error", [StoreUnavailable(log_detail="redis://:secret@host"), TimeoutError("slow")])
def test_an_unreachable_redis_gives_a_503_without_details(error: Exception) -> None:
    async def fail() -> list[dict[str, Any]]:
        raise error

    answer = _client(fail).get("/demo/redis")
    assert (answer.status_code, answer.text) == (503, "Redis does not respond.\n")


def test_the_page_has_no_inline_script_style_or_handler() -> None:
    assert {"link", "script"} <= {tag for tag, _ in PAGE.tags}
    for tag, attrs in PAGE.tags:
        assert tag != "style"
        assert "style" not in attrs
        assert not [name for name in attrs if name.startswith("on")]
        assert tag != "script" or attrs.get("src")


def test_the_page_loads_only_what_the_storefront_serves() -> None:
    client = _client()
    for address in PAGE.values("src", "href"):
        if not address.startswith("#"):
            assert client.get(address).status_code == 200
    for name, text in WEB.items():
        found = set(
            re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
        )
        assert found <= {"http://www.w3.org"}, name


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_import_only_scripts_that_exist(name: str) -> None:
    sources = re.findall(r'^import .* from "(.*)";$', WEB[name], flags=re.MULTILINE)
    assert len(sources) == len(re.findall(r"\bimport\b", WEB[name]))
    assert [source for source in sources if source.removeprefix("./") not in SCRIPTS] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_create_no_html_from_strings_and_store_nothing(name: str) -> None:
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert word not in WEB[name]
    for word in ("setItem", "indexedDB", "document.cookie = ", "caches.open"):
        assert word not in WEB[name]


@pytest.mark.parametrize("name", SCRIPTS)
def test_only_api_js_sends_requests(name: str) -> None:
    used = [word for word in ("fetch(", "XMLHttpRequest", "sendBeacon") if word in WEB[name]]
    assert used == (["fetch("] if name == "api.js" else [])


def test_every_request_has_the_csrf_header() -> None:
    assert '"X-CSRF": "1"' in WEB["api.js"]


def test_ids_are_unique_and_every_referenced_id_exists() -> None:
    ids = PAGE.values("id")
    assert len(ids) == len(set(ids))
    wanted = {one for text in PAGE.values("aria-labelledby", "aria-controls", "for") for one in text.split()}
    for name in SCRIPTS:
        wanted |= set(re.findall(r'(?:find|openDialog|onClick|onSubmit)\("([\w-]+)"', WEB[name]))
    assert wanted <= set(ids)


def test_every_field_has_a_label_and_every_picture_an_alternative() -> None:
    labelled = set(PAGE.values("for"))
    wrapped = set(re.findall(r"<label[^>]*>[^<]*\s*<(?:input|select) [^>]*name=\"(\w+)\"", WEB["index.html"]))
    for tag, attrs in PAGE.tags:
        if tag in {"input", "select"}:
            assert attrs.get("id") in labelled or attrs.get("name") in wrapped
        if tag == "img":
            assert "alt" in attrs
