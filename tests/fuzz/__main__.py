"""`python -m tests.fuzz --seconds N`: run every target, for about N seconds in all, a file of them on each core.

Exit code 0 says that nothing was found; what was found is replayed first by the next run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent


def run(seconds: int, more: list[str]) -> int:
    """Run the targets, say in one line what came of it, and return pytest's exit code."""
    files = sorted(HERE.glob("test_*.py"))
    workers = min(len(files), os.cpu_count() or 1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as reports:
        environ = os.environ | {"FUZZ_SECONDS": str(seconds * workers / len(files)), "FUZZ_REPORTS": reports}
        command = [sys.executable, "-m", "pytest", str(HERE), "-n", str(workers), "--timeout", "0", *more]
        code = subprocess.run(command, env=environ, check=False).returncode
        told = [json.loads(one.read_text("utf-8")) for one in sorted(Path(reports).glob("*.json"))]
    answers = sum(one["answers"] for one in told)
    memory = ", ".join(f"{one['first']}→{one['last']}" for one in told)
    outcome = "nothing found" if code == 0 else "SEE ABOVE"
    sys.stdout.write(
        f"fuzz: {outcome}; {len(files)} files, {answers} answers judged in {time.monotonic() - began:.0f} s; "
        f"memory of the proxies in MiB: {memory or 'not compared'}\n"
    )
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    known, rest = parser.parse_known_args()
    sys.exit(run(known.seconds, rest))
