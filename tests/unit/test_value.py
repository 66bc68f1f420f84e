"""Value classes: what the type check refuses, and what holds at run time."""

from dataclasses import field, replace

import pytest

from bff.value import value


@value(frozen=True, slots=True)
class _Point:
    x: int
    label: str = field(default="", compare=False)


def test_equal_values_are_one_key() -> None:
    assert {_Point(1): "here"}[_Point(1, "there")] == "here"
    assert replace(_Point(1), x=2) == _Point(2) != _Point(1)


def test_a_value_has_its_fields_and_no_other() -> None:
    with pytest.raises(AttributeError):
        _Point(1).y = 2  # type: ignore[attr-defined]


def reassigned() -> None:
    """Never called: the type check fails where it would let this pass, as the comment would then be one too many."""
    _Point(1).x = 2  # type: ignore[misc]
