"""A Prometheus that scrapes replicas with the alert rules at work, and what it answers."""

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from tests.bench.processes import program, started
from tests.deployment.queries import RULES
from tests.live import TLS, free_port

EVERY_SECONDS: Final = 2
RATE_INTERVAL: Final = f"{4 * EVERY_SECONDS}s"
"""What Grafana takes for `$__rate_interval` where scrapes are so far apart."""


@dataclass(frozen=True)
class Span:
    """A time, in seconds since the epoch."""

    begin: float
    end: float


@dataclass(frozen=True)
class Series:
    """One series of an answer.

    Attributes:
        labels: its name.
        points: seconds since the beginning of what was asked for, and values; none where there was no number.
    """

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self._url = url

    def asked(self, query: str, span: Span) -> list[Series]:
        """Return what a range query finds."""
        form = {"query": query, "start": span.begin, "end": span.end, "step": EVERY_SECONDS}
        address = f"{self._url}/api/v1/query_range"
        answer = httpx2.post(address, data=form, trust_env=False, verify=TLS, timeout=30)
        body = answer.json()
        if body["status"] != "success":
            raise RuntimeError(f"{query}: {body['error']}")
        return [Series(one["metric"], points(one["values"], span)) for one in body["data"]["result"]]


def points(values: Iterable[tuple[float, str]], span: Span) -> tuple[tuple[float, float], ...]:
    """Read the values of a series; what is no number is left out."""
    read = [(at - span.begin, float(value)) for at, value in values]
    return tuple(point for point in read if math.isfinite(point[1]))


@contextmanager
def prometheus(admins: Mapping[str, int]) -> Iterator[Prometheus]:
    """Run one until the block ends.

    Args:
        admins: the ports to scrape on loopback, by what the replicas are to be called.
    """
    executable = program("prometheus")
    if executable is None:
        raise RuntimeError("prometheus is not installed (Debian: prometheus)")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bff-prometheus-") as name:
        configuration = Path(name) / "prometheus.yml"
        configuration.write_text(json.dumps(_configuration(admins)), "utf-8")
        command = [
            executable,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={name}/series",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with started(command, port, measured=False):
            yield Prometheus(f"http://127.0.0.1:{port}")


def _configuration(admins: Mapping[str, int]) -> dict[str, object]:
    replicas = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": instance}}
        for instance, port in admins.items()
    ]
    every = f"{EVERY_SECONDS}s"
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "bff", "static_configs": replicas}],
    }
