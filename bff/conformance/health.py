"""Health and what else an operator looks at: fixed answers, and nothing more on the public port."""

from bff.conformance.check import Check, check, judged
from bff.conformance.probe import Probe, cookies, told

_INNER = (
    "/metrics",
    "/api/metrics",
    "/auth/metrics",
    "/__sandbox__/issued",
    "/api/__sandbox__/issued",
    "/debug",
    "/admin",
)


@check("health-live", "/livez says ok and no more", "GHSA-5hvv-m4w4-gf6v; ASVS 13.4.5")
async def _live(probe: Probe) -> str:
    answer = await probe.ask("GET", "/livez", proof=False)
    fits = answer.status == 200 and answer.body == b"ok" and not cookies(answer)
    return judged([] if fits else [f"{told(answer)}, {len(answer.body)} bytes"], "200 ok")


@check("health-ready", "/readyz says ready or not ready and no more", "ASVS 13.4.5")
async def _ready(probe: Probe) -> str:
    answer = await probe.ask("GET", "/readyz", proof=False)
    fits = (answer.status, answer.body) in {(200, b"ready"), (503, b"not ready")}
    return judged([] if fits else [f"{told(answer)}, {len(answer.body)} bytes"], str(answer.status))


@check("health-metrics", "Metrics and control planes are not on the public port", "ASVS 13.4.5, 13.4.6")
async def _metrics(probe: Probe) -> str:
    wrong = []
    for path in _INNER:
        answer = await probe.ask("GET", path)
        shown = b"# HELP " in answer.body or answer.status in {200, 401}
        wrong += [f"{path}: {told(answer)}"] if shown else []
    return judged(wrong, "not there")


CHECKS: tuple[Check, ...] = (_live, _ready, _metrics)
