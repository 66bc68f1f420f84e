"""Ask whether anything locked has a known advisory, and say so if nobody could be asked.

pip-audit does the asking. By itself it also ends well where its service has never heard of a package, leaves out what a
marker rules out on this machine, and takes no list with two versions of one package. Here every locked version is asked
about, and counts as audited only if a service that is known to know something answered.

Ends with 0 if nothing is known, with 1 if there are advisories, with 3 if something was not audited.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeAlias

from deploy.lock import DEVELOPS, RUNS, SERVER, TRACES, read

Version: TypeAlias = tuple[str, str]  # a package's name, and which version of it
Answers: TypeAlias = dict[Version, list[dict[str, Any]]]  # advisories, as pip-audit reports them

# Abandoned, with advisories that nothing fixes, so nobody locks it. A service without any for it knows nothing.
KNOWN_BAD: Version = ("pycrypto", "2.6.1")

# OSV collects the advisories of GitHub and of the Python Packaging Authority; the package index is told by OSV.
PIP_AUDIT = [
    *("-m", "pip_audit", "--vulnerability-service=osv", "--timeout=5", "--no-deps", "--disable-pip"),
    *("--format=json", "--desc=off", "--aliases=on", "--progress-spinner=off"),
]

# pip-audit asks about one version after the other. Dealt out in turn, two of the same package are never together.
SHARES = 4


def ask(versions: Sequence[Version], options: argparse.Namespace) -> tuple[Answers, str]:
    """Have pip-audit ask about some versions; returns what was answered, and why if nothing was."""
    url = [f"--osv-url={options.service}"] if options.service else []
    with NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as listed:
        listed.writelines(f"{name}=={version}\n" for name, version in [*versions, KNOWN_BAD])
        listed.flush()
        command = [sys.executable, *PIP_AUDIT, *url, f"--requirement={listed.name}"]
        try:
            ended = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=options.seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return {}, f"no answer in {options.seconds:g} s"
    try:
        reported = json.loads(ended.stdout)["dependencies"]
    except ValueError:  # of a traceback, the error that all the others came from
        cause = re.search(r"^[\w.]+: .+", ended.stderr, re.MULTILINE)
        return {}, cause[0] if cause else ended.stderr.strip().rpartition("\n")[2]
    answers: Answers = {(one["name"], one["version"]): one["vulns"] for one in reported if "version" in one}
    if not answers.pop(KNOWN_BAD, []):
        return {}, "the service knows nothing, not even of {} {}".format(*KNOWN_BAD)
    return answers, ""


def table(answers: Answers) -> list[str]:
    """Return a line for each advisory: name, version, id with aliases, the versions that fix it."""
    row = "{:<26}  {:<12}  {:<60}  {}".format
    lines = [
        row(
            name,
            version,
            " ".join([one["id"], *sorted(one["aliases"])]),
            " ".join(one["fix_versions"]) or "nothing yet",
        )
        for (name, version), known in sorted(answers.items())
        for one in known
    ]
    return [row("name", "version", "advisory", "fixed in"), *lines] if lines else []


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit the lock files and print what came of it; returns the exit code."""
    options = _options(arguments)
    versions = sorted({(pin.name, pin.version) for path in options.locks for pin in read(path)})
    shares = [share for first in range(SHARES) if (share := versions[first::SHARES])]
    with ThreadPoolExecutor(SHARES) as pool:
        asked = list(pool.map(lambda share: ask(share, options), shares))
    answers = {version: known for part, _ in asked for version, known in part.items()}
    advisories, missing = table(answers), len(versions) - len(answers)
    if advisories:
        print(*advisories, sep="\n")
    if missing:
        reason = next((reason for _, reason in asked if reason), "no answer")
        print(
            f"audit: {missing} of {len(versions)} locked versions were NOT audited: {reason}", file=sys.stderr
        )
    elif not advisories:
        print(f"audit: no known advisory for any of {len(versions)} locked versions")
    return 1 if advisories else 3 if missing and not options.offline_ok else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.audit", description=(__doc__ or "").partition("\n")[0]
    )
    locks = [RUNS, SERVER, TRACES, DEVELOPS]
    parser.add_argument("locks", nargs="*", type=Path, default=locks, help="lock files, instead of all")
    parser.add_argument("--offline-ok", action="store_true", help="end with 0 where nobody could be asked")
    parser.add_argument("--service", metavar="URL", help="where queries go, instead of OSV's own address")
    parser.add_argument("--seconds", type=float, default=30, help="wait no longer than this (30)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
