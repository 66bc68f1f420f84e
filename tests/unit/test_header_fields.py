"""Header fields by name: the first of them, and all of them in their order."""

from bff.middleware import READ_FIELDS
from bff.middleware.header_fields import HeaderFields, fields_of

USUAL = HeaderFields([(b"host", b"shop"), (b"accept", b"*/*")])
REPEATED = HeaderFields([(b"accept", b"one"), (b"host", b"shop"), (b"accept", b"two")])


def test_a_field_is_found_by_its_name() -> None:
    assert USUAL.first(b"host") == b"shop"
    assert USUAL.every(b"accept") == [b"*/*"]
    assert USUAL.names() == {b"host", b"accept"}


def test_what_is_not_there_is_none() -> None:
    for fields in (USUAL, REPEATED):
        assert fields.first(b"cookie") is None
        assert fields.every(b"cookie") == []
        assert b"cookie" not in fields.names()


def test_a_name_that_comes_twice_has_both_values_and_the_first_one_is_first() -> None:
    assert REPEATED.first(b"accept") == b"one"
    assert REPEATED.every(b"accept") == [b"one", b"two"]
    assert REPEATED.every(b"host") == [b"shop"]


def test_a_name_is_there_twice_or_not() -> None:
    assert REPEATED.has_twice(b"accept")
    assert not REPEATED.has_twice(b"host")
    assert not REPEATED.has_twice(b"cookie")
    assert not USUAL.has_twice(b"accept")


def test_what_a_server_has_read_is_used_while_it_is_of_these_fields() -> None:
    headers = ((b"host", b"shop"), (b"accept", b"*/*"))
    read = HeaderFields(headers)
    assert fields_of({"headers": headers, READ_FIELDS: read}) is read
    changed = fields_of({"headers": headers[:1], READ_FIELDS: read})
    assert changed.names() == {b"host"}


def test_the_same_fields_are_one_object() -> None:
    first, second = (fields_of({"headers": [(b"host", b"one"), (b"accept", b"a")]}) for _ in range(2))
    assert first is second
