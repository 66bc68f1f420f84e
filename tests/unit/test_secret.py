"""Secrets do not slip out."""

import copy
import dataclasses
import json
import logging
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.security.secret import MASK, Secret

VALUE = "s3cr3t-value"


def test_no_way_of_printing_shows_the_value() -> None:
    secret = Secret(VALUE)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret:>40}", "%s" % secret]  # noqa: UP031
    shown += [str([secret]), str({"a": secret}), json.dumps({"a": secret}, default=str)]
    assert all(VALUE not in one and MASK in one for one in shown)


def test_a_dataclass_with_a_secret_hides_it() -> None:
    holder = dataclasses.make_dataclass("Holder", [("token", Secret)])
    assert VALUE not in repr(holder(Secret(VALUE)))


def test_a_log_record_and_an_exception_hide_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("bff.test").warning("token %s", Secret(VALUE))
    error = ValueError(Secret(VALUE))
    assert VALUE not in caplog.text
    assert VALUE not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_is_not_copied_or_pickled(way: object) -> None:
    assert callable(way)
    with pytest.raises(TypeError):
        way(Secret(VALUE))


@pytest.mark.parametrize("way", [len, iter, vars, dict, list, sorted])
def test_it_has_no_length_no_parts_and_no_members(way: object) -> None:
    assert callable(way)
    with pytest.raises(TypeError):
        way(Secret(VALUE))


def test_it_has_no_order() -> None:
    with pytest.raises(TypeError):
        assert Secret("a") < Secret("b")  # type: ignore[operator]


@given(st.text(), st.text())
def test_secrets_are_equal_when_their_values_are(a: str, b: str) -> None:
    assert (Secret(a) == Secret(b)) == (a == b)
    assert hash(Secret(a)) == hash(Secret(a))
    assert Secret(a).reveal() == a
    assert bool(Secret(a)) == bool(a)


def test_a_bare_string_is_never_equal_to_a_secret() -> None:
    assert Secret(VALUE) != VALUE
