"""Health endpoints have fixed responses, and no other endpoint for operators is on the public port."""

from bff.conformance.check import Check, check, verdict
from bff.conformance.probe import Probe, cookies, describe

_INTERNAL = (
    "/metrics",
    "/api/metrics",
    "/auth/metrics",
    "/__sandbox__/issued",
    "/api/__sandbox__/issued",
    "/debug",
    "/admin",
)


@check("health-live", "The response of /livez is ok and nothing else", "GHSA-5hvv-m4w4-gf6v; ASVS 13.4.5")
async def _live(probe: Probe) -> str:
    response = await probe.request("GET", "/livez", csrf=False)
    good = response.status == 200 and response.body == b"ok" and not cookies(response)
    return verdict([] if good else [f"{describe(response)}, {len(response.body)} bytes"], "200 ok")


@check("health-ready", "The response of /readyz is ready or not ready and nothing else", "ASVS 13.4.5")
async def _ready(probe: Probe) -> str:
    response = await probe.request("GET", "/readyz", csrf=False)
    good = (response.status, response.body) in {(200, b"ready"), (503, b"not ready")}
    return verdict(
        [] if good else [f"{describe(response)}, {len(response.body)} bytes"], str(response.status)
    )


@check("health-metrics", "Metrics and admin endpoints are not on the public port", "ASVS 13.4.5, 13.4.6")
async def _metrics(probe: Probe) -> str:
    wrong, pages = [], 0
    for path in _INTERNAL:
        response = await probe.request("GET", path)
        exposed = b"# HELP " in response.body
        if response.status in {200, 401} and not exposed:
            page = await probe.is_storefronts(response)
            exposed, pages = not page, pages + page
        wrong += [f"{path}: {describe(response)}"] if exposed else []
    return verdict(wrong, f"not found; {pages} pages of a storefront" if pages else "not found")


CHECKS: tuple[Check, ...] = (_live, _ready, _metrics)
