"""The one reader of cookies (RFC 6265bis §5.8.3); `bff.middleware.carriers` writes the session's.

It works on bytes and strips blanks and tabs only. Text has more blanks: `str.strip` also takes U+00A0 and U+0085, which
browsers accept in a name. A cookie that another host of the same domain sets under such a name would come out under a
`__Host-` name that only this host may set.
"""

from collections.abc import Iterator


def cookie_pairs(field: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and values of a Cookie field, in its order; what has no `=` is no cookie."""
    for pair in field.split(b";"):
        name, mark, value = pair.strip(b" \t").partition(b"=")
        if mark:
            yield name, value
