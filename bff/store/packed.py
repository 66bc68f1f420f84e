"""A record's fields as few bytes: their values in a fixed order, without their names.

A token whose parts are base64url, as those of a JSON Web Token are, is kept as the bytes that these encode: a quarter
less, and the very same text when it is read. What a later release adds stands at the end, where this one leaves it
unread.
"""

import base64
import binascii
import json
import math
import struct
from collections.abc import Sequence
from typing import Any, Final

from bff.errors import StoreUnavailable

_TOKENS: Final = ("access", "refresh", "saas", "sid")
_CONTEXT: Final = 4
_TOKEN_NUMBERS: Final = ("access_exp", "issued", "refresh_exp", "saas_exp", "created")
_NUMBERS: Final = (*_TOKEN_NUMBERS, "expires", "idle", "version")
_WORDS: Final = ("kind", "carrier", "email", "customer", "entity", "agent")
_FLAGS: Final = ("initial", "assisted", "guest")

# Numbers as doubles, not-a-number where there is none; then the length of each text, one more than it is, 0 for none.
_GUEST: Final = struct.Struct(f">{len(_TOKEN_NUMBERS)}d{len(_TOKENS) + _CONTEXT}H")
_HEAD: Final = struct.Struct(f">B16sB{len(_NUMBERS)}d{len(_TOKENS) + _CONTEXT + len(_WORDS) + 1}H")

_PLAIN: Final = b"\x00"
_DECODED: Final = b"\x01"
_LONGEST: Final = 0xFFFF

_Values = list[bytes | None]


def pack(fields: dict[str, Any]) -> bytes:
    """Return the fields of a record as bytes, of which the first is their schema.

    Raises:
        StoreUnavailable: a text has 64 KiB; upstream would not take it either.
    """
    texts = [*_token_texts(fields), *map(_encoded, _picked(fields, _WORDS)), _merged(fields)]
    head = _HEAD.pack(
        fields["v"],
        bytes.fromhex(fields["id"]),
        sum(bool(fields.get(name)) << at for at, name in enumerate(_FLAGS)),
        *_numbers(fields, _NUMBERS),
        *map(_length, texts),
    )
    return head + b"".join(text or b"" for text in texts) + _packed_guest(fields.get("guest"))


def unpack(record: bytes) -> dict[str, Any]:
    """Return the fields that `pack` was given; numbers as floats."""
    schema, session_id, flags, *values = _HEAD.unpack_from(record)
    texts, end = _texts(record, _HEAD.size, values[len(_NUMBERS) :])
    kind, carrier, email, customer, entity, agent = [
        _decoded(text) for text in texts[len(_TOKENS) + _CONTEXT : -1]
    ]
    merged = texts[-1]
    fields = {
        "v": schema,
        "id": session_id.hex(),
        "kind": kind,
        "carrier": carrier,
        "expires": values[5],
        "idle": values[6],
        "version": values[7],
        "email": email,
        "customer": customer,
        "entity": entity,
        "initial": bool(flags & 1),
        "agent": agent,
        "assisted": bool(flags & 2),
        "guest": _unpacked_guest(record, end) if flags & 4 else None,
        "merged": [] if merged is None else json.loads(merged),
    }
    return fields | _unpacked_tokens(values, texts)


def _packed_guest(guest: dict[str, Any] | None) -> bytes:
    if guest is None:
        return b""
    texts = _token_texts(guest)
    head = _GUEST.pack(*_numbers(guest, _TOKEN_NUMBERS), *map(_length, texts))
    return head + b"".join(text or b"" for text in texts)


def _unpacked_guest(record: bytes, at: int) -> dict[str, Any]:
    values = _GUEST.unpack_from(record, at)
    texts, _ = _texts(record, at + _GUEST.size, values[len(_TOKEN_NUMBERS) :])
    return _unpacked_tokens(values, texts)


def _unpacked_tokens(values: Sequence[float], texts: _Values) -> dict[str, Any]:
    """Return the fields that a session and the guest beside it both have."""
    return {
        "access_exp": values[0],
        "issued": values[1],
        "refresh_exp": _or_none(values[2]),
        "saas_exp": _or_none(values[3]),
        "created": values[4],
        "access": _token(texts[0]),
        "refresh": _token(texts[1]),
        "saas": _token(texts[2]),
        "sid": _token(texts[3]),
        "context": [_decoded(text) for text in texts[len(_TOKENS) : len(_TOKENS) + _CONTEXT]],
    }


def _or_none(number: float) -> float | None:
    return None if math.isnan(number) else number


def _token_texts(fields: dict[str, Any]) -> _Values:
    return [*map(_packed_token, _picked(fields, _TOKENS)), *map(_encoded, fields["context"])]


def _texts(record: bytes, at: int, lengths: Sequence[int]) -> tuple[_Values, int]:
    """Return the texts that begin at `at`, and where they end."""
    texts: _Values = []
    for length in lengths:
        if length:
            end = at + length - 1
            texts.append(record[at:end])
            at = end
        else:
            texts.append(None)
    return texts, at


def _picked(fields: dict[str, Any], names: Sequence[str]) -> list[Any]:
    return [fields[name] for name in names]


def _numbers(fields: dict[str, Any], names: Sequence[str]) -> list[float]:
    return [math.nan if value is None else value for value in _picked(fields, names)]


def _length(text: bytes | None) -> int:
    length = 0 if text is None else len(text) + 1
    if length > _LONGEST:
        raise StoreUnavailable(log_detail="a text of the session is too long to be kept")
    return length


def _merged(fields: dict[str, Any]) -> bytes | None:
    merged = fields.get("merged")
    return json.dumps(merged, separators=(",", ":")).encode() if merged else None


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")


def _decoded(text: bytes | None) -> str | None:
    return None if text is None else text.decode("utf-8", "surrogatepass")


def _packed_token(token: str | None) -> bytes | None:
    if token is None:
        return None
    parts = [_decoded_part(part) for part in token.split(".")]
    if None in parts:
        return _PLAIN + token.encode("utf-8", "surrogatepass")
    return _DECODED + b"".join(len(part).to_bytes(2, "big") + part for part in parts if part is not None)


def _decoded_part(part: str) -> bytes | None:
    """Return what a part encodes; None where other text would come back from that."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return (
        raw if base64.urlsafe_b64encode(raw).rstrip(b"=") == part.encode() and len(raw) <= _LONGEST else None
    )


def _token(packed: bytes | None) -> str | None:
    if packed is None or packed[:1] == _PLAIN:
        return None if packed is None else _decoded(packed[1:])
    parts, at = [], 1
    while at < len(packed):
        start = at + 2
        at = start + int.from_bytes(packed[at:start], "big")
        parts.append(binascii.b2a_base64(packed[start:at], newline=False).rstrip(b"="))
    # Quicker than `urlsafe_b64encode` for each part, at every read.
    return b".".join(parts).replace(b"+", b"-").replace(b"/", b"_").decode("ascii")
