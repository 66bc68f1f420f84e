"""The live proxy keeps to `bff/openapi.yaml`, whoever asks for whatever its schemas allow or forbid."""

from pathlib import Path
from typing import Any, Final

import pytest
import requests
import schemathesis
import yaml
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

import bff
from bff.api.route_file import load_route_table
from tests.fuzz.ground import WHO, Ground
from tests.fuzz.profiles import fuzzed
from tests.live import TENANT

_DOCUMENT: Final[dict[str, Any]] = yaml.safe_load(
    (Path(bff.__file__).parent / "openapi.yaml").read_text("utf-8")
)
SCHEMA: Final = schemathesis.openapi.from_dict(_DOCUMENT)


def content_type_of_bodies(context: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    """Ask for a media type where there is something to have one: Emporix answers a PATCH with 200 and nothing."""
    return checks.content_type_conformance(context, response, case) if response.content else None


CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    content_type_of_bodies,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
_METHODS: Final = {"get", "head", "post", "put", "patch", "delete", "options"}
API: Final = "/api/{path}"
OPERATIONS: Final = [
    (method.upper(), path)
    for path, item in _DOCUMENT["paths"].items()
    for method in item
    if method in _METHODS
]
OWN: Final = [one for one in OPERATIONS if one[1] != API]
PROXIED: Final = [method for method, path in OPERATIONS if path == API and method != "OPTIONS"]
ROUTES: Final = load_route_table(TENANT).routes()
_PROOFS: Final = ("x-csrf", "x-session-id", "x-session-transport", "cookie")
_IDS: Final = ("main", "morning-ledge", "1", "EUR", "DE", "none", "a%20b", "%C3%A9")
_MODES = st.sampled_from(GenerationMode)
_VISITORS = st.sampled_from((*WHO, "nobody in particular"))


def call(ground: Ground, case: Case[Any], who: str) -> None:
    """Send a case as this visitor, who has a proof where the drawn one may have none, and judge the answer.

    Nobody in particular sends what was drawn: made-up cookies, session ids and proofs among it.
    """
    headers = {}
    if who in WHO:
        case.cookies.clear()
        for name in [name for name in case.headers if name.lower() in _PROOFS]:
            del case.headers[name]
        headers = dict(field.split(": ", 1) for field in (*ground.visitor(who), "X-CSRF: 1"))

    def no_token_in_sight(_context: CheckContext, response: Response, _case: Case[Any]) -> None:
        head = "\r\n".join(
            f"{name}: {value}" for name, values in response.headers.items() for value in values
        )
        ground.keep(case.formatted_path, head.encode("latin-1"), response.content)

    admin = f"http://127.0.0.1:{ground.proxy.environ['BFF_ADMIN_PORT']}"
    base = admin if case.path == "/metrics" else ground.proxy.url
    with requests.Session() as session:
        session.trust_env = False
        case.call_and_validate(
            base_url=base,
            session=session,
            headers=headers,
            timeout=30,
            allow_redirects=False,
            checks=[*CHECKS, no_token_in_sight],
        )


@pytest.mark.parametrize(("method", "path"), OWN, ids=lambda one: one)
@fuzzed(15, shares=len(OWN))
@given(data=st.data(), mode=_MODES, who=_VISITORS)
def test_every_answer_is_a_documented_one(
    ground: Ground, method: str, path: str, data: st.DataObject, mode: GenerationMode, who: str
) -> None:
    call(ground, data.draw(SCHEMA[path][method].as_strategy(generation_mode=mode)), who)


@st.composite
def proxied(draw: st.DrawFn, method: str) -> str:
    """Draw a path of the route table, its parameters filled in."""
    allowed = [route.template for route in ROUTES if route.method == ("GET" if method == "HEAD" else method)]
    template = draw(st.sampled_from(allowed))
    parts = (
        TENANT if part == "{tenant}" else draw(st.sampled_from(_IDS)) if part.startswith("{") else part
        for part in template.split("/")[1:]
    )
    return "/".join(parts)


@pytest.mark.parametrize("method", PROXIED)
@fuzzed(40, shares=len(PROXIED))
@given(data=st.data(), mode=_MODES, who=_VISITORS)
def test_every_answer_of_an_open_route_is_a_documented_one(
    ground: Ground, method: str, data: st.DataObject, mode: GenerationMode, who: str
) -> None:
    """A drawn wildcard is hardly ever a path that is open: the route table says which are."""
    case = data.draw(SCHEMA[API][method].as_strategy(generation_mode=mode))
    if data.draw(st.integers(0, 9)):
        case.path_parameters = {"path": data.draw(proxied(method))}
    call(ground, case, who)


@fuzzed(60)
@given(data=st.data(), origin=st.sampled_from(("public", "foreign", "drawn")))
def test_every_answer_to_a_preflight_is_a_documented_one(
    ground: Ground, data: st.DataObject, origin: str
) -> None:
    case = data.draw(SCHEMA[API]["OPTIONS"].as_strategy(generation_mode=GenerationMode.POSITIVE))
    case.path_parameters = {"path": data.draw(proxied("GET"))}
    if origin != "drawn":
        case.headers["Origin"] = ground.proxy.url if origin == "public" else "https://foreign.example"
    call(ground, case, "nobody in particular")
