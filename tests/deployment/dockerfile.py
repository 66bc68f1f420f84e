"""The Dockerfile, as far as it can be judged without a container engine."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "Dockerfile"


@dataclass(frozen=True)
class Step:
    """One instruction, its continued lines joined."""

    name: str
    rest: str


@dataclass(frozen=True)
class Stage:
    """What stands from one FROM to the next."""

    base: str
    steps: tuple[Step, ...]

    def all(self, name: str) -> list[str]:
        """Return what follows each instruction of this name."""
        return [step.rest for step in self.steps if step.name == name]

    def one(self, name: str) -> str:
        """Return what follows the only instruction of this name."""
        (rest,) = self.all(name)
        return rest


def steps() -> list[Step]:
    """Return every instruction of the file."""
    text = "\n".join(line for line in SOURCE.read_text("utf-8").splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    return [Step(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def stages() -> list[Stage]:
    """Return the stages; what stands before the first FROM belongs to none."""
    found: list[Stage] = []
    for step in steps():
        if step.name == "FROM":
            found.append(Stage(step.rest, ()))
        elif found:
            found[-1] = Stage(found[-1].base, (*found[-1].steps, step))
    return found


def healthcheck() -> list[str]:
    """Return the command that says whether a container is well."""
    command: list[str] = json.loads(stages()[-1].one("HEALTHCHECK").partition("CMD ")[2])
    return command
