"""`python -m tests.mutation`: apply known faults to a copy of the tree, one at a time, and see which the tests notice.

Exit code 0: enough were noticed. 1: too few were, or one of a strict room was not. 2: the list does not fit the code,
the tests fail without any fault, or they could not be run.
"""

import argparse
import os
import queue
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from tests.mutation.copies import TREE, Copy, RunError, Verdict
from tests.mutation.faults import FOLDER, Fault, FaultListError, load, selected
from tests.mutation.report import Record, digest, passed, rendered

RECORD: Final = ".mutation.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the faults that were asked for and return the exit code."""
    options = _options(arguments)
    try:
        return _run(options)
    except (FaultListError, RunError) as error:
        _say(f"mutation: {error}")
        return 2


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--room", action="append", default=[], help="only this room; may be repeated")
    parser.add_argument("--id", action="append", default=[], help="only this fault, or those that begin so")
    parser.add_argument("--survivors", action="store_true", help="only what survived the latest run")
    parser.add_argument("--resume", action="store_true", help="skip what was judged, if nothing has changed")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="copies that run at once")
    parser.add_argument("--threshold", type=float, default=90, help="per cent that must be noticed")
    parser.add_argument(
        "--no-baseline", action="store_true", help="do not run the tests without a fault first"
    )
    parser.add_argument("--list", action="store_true", help="list the faults and run nothing")
    parser.add_argument("--tree", type=Path, default=TREE, help=argparse.SUPPRESS)
    parser.add_argument("--faults", type=Path, default=FOLDER, help="the folder of the room files")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    record = Record(options.tree / RECORD, digest(options.tree))
    survivors = record.survivors() if options.survivors else []
    if options.survivors and not survivors:
        _say("mutation: nothing survived the latest run")
        return 0
    chosen = selected(load(options.faults), options.room, [*options.id, *survivors])
    faults = [fault for fault in chosen if fault.equivalent is None]
    for fault in chosen:
        fault.applied((options.tree / fault.path).read_text("utf-8"))
    if options.list:
        _say("\n".join(fault.id for fault in chosen))
        return 0
    verdicts = record.of_this_tree() if options.resume else {}
    left = [fault for fault in faults if fault.id not in verdicts]
    for verdict in _judged(left, options):
        verdicts[verdict.id] = verdict
        record.add(verdict)
    _say(rendered(faults, verdicts, len(chosen) - len(faults)))
    return 0 if passed(faults, verdicts, options.threshold) else 1


def _judged(faults: Sequence[Fault], options: argparse.Namespace) -> Iterator[Verdict]:
    """Judge the faults on several copies at once and yield each verdict as it comes."""
    workers = min(options.workers, len(faults))
    copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder, ThreadPoolExecutor(workers or 1) as pool:
        for number in range(workers):
            copies.put(Copy(Path(folder, str(number)), options.tree))
        if faults and not options.no_baseline:
            _check_baseline(copies, faults)

        def judge(fault: Fault) -> Verdict:
            copy = copies.get()
            try:
                return copy.judge(fault)
            finally:
                copies.put(copy)

        pending = [pool.submit(judge, fault) for fault in faults]
        try:
            for number, done in enumerate(as_completed(pending), start=1):
                verdict = done.result()
                _say(f"{number}/{len(faults)} {verdict.id}: {verdict.by or 'SURVIVED'}")
                yield verdict
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _check_baseline(copies: "queue.SimpleQueue[Copy]", faults: Sequence[Fault]) -> None:
    """Run the first tests of all faults without any fault: a test that fails anyway would notice everything."""
    paths = sorted({path for fault in faults for path in fault.first})
    copy = copies.get()
    failed = copy.failure(paths)
    copies.put(copy)
    if failed is not None:
        raise RunError(f"without any fault, this test fails: {failed}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
