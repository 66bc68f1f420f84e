"""Axes: round values for them, and numbers as Grafana shows them in a panel's unit."""

import math
from typing import Final

_STEPS: Final = (1, 2, 2.5, 5, 10)
_INTERVALS: Final = 4
_SUFFIXES: Final = {
    "bytes": ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")),
    "s": ((60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "percentunit": ((0.01, "%"),),
    "reqps": ((1, " req/s"),),
    "ops": ((1, " ops/s"),),
    "d": ((1, " days"),),
    "short": ((1e6, " Mil"), (1e3, " K"), (1, "")),
}


def ticks(highest: float, unit: str) -> list[float]:
    """Return the values of an axis: from 0, in round steps, to one that is not below the highest."""
    highest = highest if highest > 0 else 1.0
    factor, _ = _suffix(highest, unit)
    wanted = highest / factor / _INTERVALS
    magnitude = 10.0 ** math.floor(math.log10(wanted))
    step = next(one for one in _STEPS if one * magnitude >= wanted * (1 - 1e-9)) * magnitude
    count = math.ceil(highest / factor / step - 1e-9)
    return [at * step * factor for at in range(count + 1)]


def shown(value: float, unit: str, highest: float) -> str:
    """Return a value of an axis, as all of that axis are shown.

    Args:
        value: to be shown.
        unit: the panel's.
        highest: value of the axis.
    """
    factor, suffix = _suffix(highest, unit)
    return f"{value / factor:.6g}{suffix}" if value else f"0{suffix}"


def clock(seconds: float) -> str:
    """Return a time since the beginning, in minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _suffix(highest: float, unit: str) -> tuple[float, str]:
    """Return what the values of an axis are divided by, and what is written after them."""
    known = _SUFFIXES[unit]
    return next((one for one in known if highest >= one[0]), known[-1])
