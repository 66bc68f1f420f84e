"""`make bench`: measure this proxy beside others on this machine, in turn, and print ratios.

Each server is a process of its own on one core; load, upstream and Redis have the others. Rounds alternate, so that
everybody has many short runs over the same time. Only the ratios mean anything elsewhere.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench.beside import beside_requests
from tests.bench.checks import check_features
from tests.bench.contenders import contenders
from tests.bench.goals import Goal, reached
from tests.bench.ground import Contender, Ground, NotInstalled, prepared
from tests.bench.load import Generator, generator
from tests.bench.names import OURS
from tests.bench.processes import program
from tests.bench.report import chart, goal_table, table
from tests.bench.results import Results
from tests.bench.rounds import measured
from tests.bench.wire import SCENARIOS

_DOCUMENT = Path(__file__).parents[2] / "deploy" / "docs" / "performance.md"
_BEGIN, _END = "<!-- measured -->", "<!-- /measured -->"
_BESIDE = "beside the requests"


def main() -> None:
    """Measure, print, and write what is asked for."""
    options = _options()
    if program("nginx") is None:
        sys.exit("nginx is needed: it is the upstream of every contender")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and with it all that it has begun
    name, send = generator()
    machine = _machine(name, options)
    sys.stdout.write(machine)
    with tempfile.TemporaryDirectory() as folder, prepared(Path(folder)) as ground:
        beside = _beside(ground, send, options)
        results = _measured(ground, send, options)
    goals = [*reached(results), *beside]
    text = goal_table(goals) + table(results)
    sys.stdout.write(text)
    if options.write:
        _write(f"\n{machine}{text}", chart(results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one run")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each")
    parser.add_argument("--only", default="", help="words of the names of contenders, comma-separated")
    parser.add_argument(
        "--scenarios",
        default="",
        help=f"words of the names of scenarios, comma-separated; '{_BESIDE}' is one of them",
    )
    parser.add_argument("--sessions", type=int, default=100_000, help="how many are written into Redis")
    parser.add_argument("--write", action="store_true", help="put tables and chart into deploy/docs")
    return parser.parse_args()


def _machine(load: str, options: argparse.Namespace) -> str:
    loads = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{os.cpu_count()} CPUs, Python {platform.python_version()}, load by {load}, {options.rounds} rounds "
        f"of {options.seconds:g} s, load average before them {loads}.\n"
    )


def _beside(ground: Ground, send: Generator, options: argparse.Namespace) -> list[Goal]:
    """Measure it first, before anything else has warmed the machine or filled its Redis."""
    if not _wanted(OURS, options.only) or not _wanted(_BESIDE, options.scenarios):
        return []
    return beside_requests(ground, send, options.sessions)


def _measured(ground: Ground, send: Generator, options: argparse.Namespace) -> Results:
    scenarios = [one for one in SCENARIOS if _wanted(one.name, options.scenarios)]
    if not scenarios:
        return Results({})
    with ExitStack() as ending:
        running = _begun(ground, ending, options.only)
        return measured(running, scenarios, send, rounds=options.rounds, seconds=options.seconds)


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
