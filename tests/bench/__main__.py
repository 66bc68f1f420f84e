"""`make bench`: measure this proxy beside others on this machine, in turn, and print ratios.

Each server is a process of its own on one core; load, upstream and Redis have the others. Rounds alternate, so that a
slow moment hits everybody. Only the ratios mean anything elsewhere, and those of CPU time hold on a busy machine too.
"""

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bff.config.embedded_redis import EmbeddedRedis
from tests.bench.checks import check_features
from tests.bench.contenders import Contender, Ground, NotInstalled, contenders
from tests.bench.load import generator
from tests.bench.processes import on_core, program
from tests.bench.report import chart, table
from tests.bench.rounds import measured
from tests.bench.upstream import upstream
from tests.bench.wire import SCENARIOS

_DOCUMENT = Path(__file__).parents[2] / "deploy" / "docs" / "performance.md"
_BEGIN, _END = "<!-- measured -->", "<!-- /measured -->"


def main() -> None:
    """Measure, print, and write what is asked for."""
    options = _options()
    if program("nginx") is None:
        sys.exit("nginx is needed: it is the upstream of every contender")
    name, send = generator()
    loads = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    sys.stdout.write(f"{os.cpu_count()} CPUs, load by {name}, load average {loads}\n")
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        with on_core(measured=False):
            redis = ending.enter_context(EmbeddedRedis.start(folder / "redis"))
        ground = Ground(ending.enter_context(upstream(folder)), redis.url, folder)
        running = _begun(ground, ending, options.only)
        scenarios = [one for one in SCENARIOS if _wanted(one.name, options.scenarios)]
        results = measured(running, scenarios, send, rounds=options.rounds, seconds=options.seconds)
    text = table(results)
    sys.stdout.write(text)
    if options.write:
        _write(text, chart(results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="words of the names of contenders, comma-separated")
    parser.add_argument("--scenarios", default="", help="words of the names of scenarios, comma-separated")
    parser.add_argument("--write", action="store_true", help="put table and chart into deploy/docs")
    return parser.parse_args()


def _begun(ground: Ground, ending: ExitStack, only: str) -> list[Contender]:
    running = []
    for name, start in contenders().items():
        if not _wanted(name, only):
            continue
        try:
            running.append(ending.enter_context(start(ground)))
        except NotInstalled as reason:
            sys.stdout.write(f"left out: {name} ({reason})\n")
            continue
        if running[-1].proxy is not None:
            check_features(running[-1])
    return running


def _wanted(name: str, words: str) -> bool:
    return not words or any(word.strip().lower() in name.lower() for word in words.split(","))


def _write(text: str, svg: str) -> None:
    page = _DOCUMENT.read_text("utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _DOCUMENT.write_text(f"{before}{_BEGIN}\n{text}{_END}{after}", "utf-8")
    _DOCUMENT.with_suffix(".svg").write_text(svg, "utf-8")


if __name__ == "__main__":
    main()
