"""Headers about the origin or target of a request: any client can send them, so they must have no effect."""

from typing import Final

from bff.conformance.check import Check, NotApplicable, check, verdict
from bff.conformance.probe import Probe, cookies, describe, member
from bff.conformance.wire import Response

_NAMES: Final = (
    "X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Path",
    "X-Forwarded-Prefix", "X-Envoy-Original-Path", "X-Accel-Redirect",
)  # fmt: skip
_EVIL: Final = "elsewhere.example"
_FORWARDED: Final = (
    f"X-Forwarded-Host: {_EVIL}",
    f"X-Forwarded-Server: {_EVIL}",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Scheme: https",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /elsewhere.example",
    "X-Forwarded-For: 127.0.0.1",
    "X-Real-IP: 127.0.0.1",
    f"X-Host: {_EVIL}",
    f"Forwarded: for=127.0.0.1;host={_EVIL};proto=https",
    "X_Forwarded_Host: elsewhere.example",
)
_AGENTS: Final = ("GoogleHC/1.0", "kube-probe/1.31", "ELB-HealthChecker/2.0", "AlwaysOn", "Envoy/HC")


@check(
    "trust-rewritten", "X-Original-URL and the like do not change the path", "GHSA-7x63-xv5r-3p2x; ASVS 4.1.3"
)
async def _rewritten(probe: Probe) -> str:
    wrong = []
    for name in _NAMES:
        for target in ("/livez", probe.sites):
            no_csrf = await probe.request("GET", "/auth/session", f"{name}: {target}", csrf=False)
            refused_route = await probe.request("POST", "/api/oauth/token", f"{name}: {target}")
            wrong += [f"{name}: {describe(one)}" for one in (no_csrf, refused_route) if one.status != 403]
    return verdict(wrong, "403 each")


@check(
    "trust-forwarded",
    "X-Forwarded-* headers do not change responses or cookies",
    "CVE-2024-52003; CVE-2026-39858; ASVS 4.1.3",
)
async def _forwarded(probe: Probe) -> str:
    guest = await probe.guest()
    wrong: list[str] = []
    for method, path, cookie in (
        ("GET", "/auth/session?slide=false", guest.pair),
        ("GET", "/auth/nothing", ""),
    ):
        plain = await probe.request(method, path, cookie=cookie)
        given = await probe.request(method, path, *_FORWARDED, cookie=cookie)
        wrong += [] if _comparable(plain) == _comparable(given) else [f"{path}: {describe(given)}"]
        wrong += _repeated(given)
    started = await probe.request("POST", "/auth/anonymous", *_FORWARDED)
    same = [one.stable_attributes for one in cookies(started)] == [guest.stable_attributes]
    return verdict(wrong + ([] if same else ["another cookie"]) + _repeated(started), "the same responses")


@check("trust-host", "No response repeats an unknown Host", "GHSA-c5c4-8r6x-56w3; ASVS 4.1.3")
async def _host(probe: Probe) -> str:
    requests = ("/auth/session", "/auth/nothing", "/api/nothing", "/auth/session/")
    responses = [await probe.request("GET", path, f"Host: {_EVIL}") for path in requests]
    wrong = [f"redirected: {describe(one)}" for one in responses if 300 <= one.status < 400]
    return verdict(wrong + _repeated(*responses), describe(responses[0]))


@check("trust-method", "No header and no query parameter changes the method", "ASVS 4.1.4")
async def _method(probe: Probe) -> str:
    guest = await probe.guest()
    wrong = []
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        response = await probe.request("GET", "/auth/logout?_method=POST", f"{name}: POST", cookie=guest.pair)
        wrong += [] if response.status == 405 else [f"{name}: {describe(response)}"]
    after = await probe.request("GET", "/auth/session", cookie=guest.pair)
    return verdict(wrong + ([] if member(after, "kind") == "anonymous" else ["the session was ended"]), "405")


@check("trust-agent", "No User-Agent gives access", "GHSA-5hvv-m4w4-gf6v")
async def _agent(probe: Probe) -> str:
    wrong = []
    for agent in _AGENTS:
        no_csrf = await probe.request("GET", "/auth/session", f"User-Agent: {agent}", csrf=False)
        refused_route = await probe.request("POST", "/api/oauth/token", f"User-Agent: {agent}")
        wrong += [f"{agent}: {describe(one)}" for one in (no_csrf, refused_route) if one.status != 403]
    return verdict(wrong, "403 each")


@check("trust-twins", "Blocked headers spelled with _ do not reach the upstream", "CVE-2025-64484")
async def _twins(_probe: Probe) -> str:
    raise NotApplicable(
        "cannot be checked from outside; the tests of the project check what is sent to the upstream"
    )


@check(
    "trust-connection",
    "A Connection header removes no header that the proxy adds",
    "CVE-2024-45410; CVE-2025-48865",
)
async def _connection(_probe: Probe) -> str:
    raise NotApplicable(
        "cannot be checked from outside; the tests of the project check what is sent to the upstream"
    )


def _comparable(response: Response) -> object:
    """Return the parts of a response that should be equal for equal requests."""
    varying = {"date", "x-request-id", "content-length", "age"}
    headers = sorted((name, value) for name, value in response.headers if name not in varying)
    return response.status, headers, member(response, "kind"), member(response, "code")


def _repeated(*responses: Response) -> list[str]:
    evil = _EVIL.encode()
    return [
        f"repeated: {describe(one)}" for one in responses if evil in one.body or _EVIL in repr(one.headers)
    ]


CHECKS: tuple[Check, ...] = (_rewritten, _forwarded, _host, _method, _agent, _twins, _connection)
