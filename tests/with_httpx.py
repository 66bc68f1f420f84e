"""Run the tests with httpx2 as the client of proxied calls, which is the reference for this proxy's own.

    python -m tests.with_httpx [arguments of pytest]

In a copy of the tree, which differs in one line. Tests of what the own client alone does are marked `own_client` and
left out.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutation.copies import LEFT_OUT, TREE

_WIRING: Final = "bff/wiring.py"
_OWN: Final = "LlhttpClient(settings.upstream_url, PROXIED_CALLS, tls=tls)"
_REFERENCE: Final = "HttpxClient(settings.upstream_url, PROXIED_CALLS, tls=tls)"


def main(arguments: Sequence[str]) -> int:
    """Return the exit code of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        shutil.copytree(TREE, tree, ignore=LEFT_OUT)
        text = TREE.joinpath(_WIRING).read_text("utf-8")
        if text.count(_OWN) != 1:
            raise ValueError(f"{_WIRING} does not name the client of proxied calls once")
        tree.joinpath(_WIRING).write_text(text.replace(_OWN, _REFERENCE), "utf-8")
        command = [sys.executable, "-m", "pytest", "-m", "not own_client", *arguments]
        environ = os.environ | {"PYTHONPATH": str(tree)}
        return subprocess.run(command, cwd=tree, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
