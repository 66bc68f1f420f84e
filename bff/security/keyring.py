"""Sealing: authenticated encryption with AES-256-GCM under a key ring.

The first key of the ring seals; every key opens. A sealed value carries its key id in clear text. Format version,
purpose, tenant and key id are bound to it as associated data, so a value that was sealed for one purpose does not
open for another. For each purpose a separate key is derived from the keys of the ring by HKDF (RFC 5869). This is
the only module that imports `cryptography`.

The keys of a ring can be replaced while it is in use: everything that was made from the ring has the new ones at once.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION: Final = 1
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16

RandomBytes = Callable[[int], bytes]
Keys = Sequence[tuple[str, bytes]]
T = TypeVar("T")


class SealError(Exception):
    """A sealed value cannot be opened: it is malformed, made for another purpose or key, or was changed."""


class MalformedError(SealError):
    """The value does not have the format of a sealed value."""


class UnknownKeyError(SealError):
    """The value has the right format, and no key of the ring has its key id."""


class KeyRing:
    """The server's keys, newest first.

    Args:
        keys: pairs of a key id (1 to 16 ASCII characters) and a key of 32 bytes; the first one seals.
        tenant: bound to every sealed value.
        random_bytes: the source of nonces; `secrets.token_bytes` except in tests.

    Raises:
        ValueError: there is no key, or a key has the wrong length.
    """

    __slots__ = ("_keys", "_random_bytes", "_renewals", "_tenant")

    def __init__(self, keys: Keys, tenant: str, random_bytes: RandomBytes) -> None:
        self._keys = _checked(keys)
        self._tenant = tenant.encode("ascii")
        self._random_bytes = random_bytes
        self._renewals: list[Callable[[], None]] = []

    @property
    def kids(self) -> list[str]:
        """The ids of the keys, newest first; nothing about them is secret."""
        return [kid.decode("ascii") for kid, _ in self._keys]

    def replace(self, keys: Keys) -> bool:
        """Use these keys from now on, in everything that was made from this ring; return whether they are others.

        Raises:
            ValueError: see the class; the keys stay what they were.
        """
        checked = _checked(keys)
        if checked == self._keys:
            return False
        self._keys = checked
        for renew in self._renewals:
            renew()
        return True

    def on_replace(self, renew: Callable[[], None]) -> None:
        """Call `renew` whenever the keys were replaced: what follows from a removed key must not outlive it."""
        self._renewals.append(renew)

    def sealer(self, purpose: str) -> "Sealer":
        """Return a sealer for one purpose. Deriving its keys is slow, so create it once and reuse it."""
        ciphers = self._of_each(lambda key: AESGCM(self._derive(key, b"seal", purpose)))
        return Sealer(ciphers, self._associated_data(purpose), self._random_bytes)

    def record_sealer(self, purpose: str = "session") -> "RecordSealer":
        """Return a sealer for session records of one purpose, whose keys also depend on the visitor's secret."""
        # Copying a digest that has its key costs less than to begin one.
        macs = self._of_each(
            lambda key: hmac.new(self._derive(key, b"record", purpose), None, hashlib.sha256)
        )
        return RecordSealer(macs, self._associated_data(purpose), self._random_bytes)

    def digest(self, purpose: str) -> "KeyedDigest":
        """Return a keyed digest (RFC 2104) for one purpose, for names that must not reveal what they stand for."""
        return KeyedDigest(self._of_each(lambda key: self._derive(key, b"digest", purpose)))

    def _of_each(self, derive: Callable[[bytes], T]) -> "OfEachKey[T]":
        """Return what is derived of each key, and see to it that it follows the ring."""
        derived: OfEachKey[T] = OfEachKey()

        def renew() -> None:
            derived.set({kid: derive(key) for kid, key in self._keys})

        renew()
        self.on_replace(renew)
        return derived

    def _derive(self, key: bytes, use: bytes, purpose: str) -> bytes:
        info = b"|".join((b"emporix-bff", use, purpose.encode("ascii"), self._tenant))
        return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)

    def _associated_data(self, purpose: str) -> bytes:
        return b"|".join((b"emporix-bff", bytes([VERSION]), purpose.encode("ascii"), self._tenant))


def _checked(keys: Keys) -> tuple[tuple[bytes, bytes], ...]:
    if not keys or any(len(key) != KEY_BYTES for _, key in keys):
        raise ValueError("a key ring needs at least one key, each of 32 bytes")
    return tuple((kid.encode("ascii"), key) for kid, key in keys)


class OfEachKey(Generic[T]):
    """What one purpose derives of each key of the ring, by key id; it follows the ring.

    Attributes:
        by_kid: newest first.
        newest: the key id of the newest.
    """

    __slots__ = ("by_kid", "newest")

    by_kid: dict[bytes, T]
    newest: bytes

    def set(self, by_kid: dict[bytes, T]) -> None:
        """Take what was derived of the keys of now, newest first."""
        self.by_kid = by_kid
        self.newest = next(iter(by_kid))


class KeyedDigest:
    """HMAC-SHA256 under the keys of the ring, newest first."""

    __slots__ = ("_keys",)

    def __init__(self, keys: OfEachKey[bytes]) -> None:
        self._keys = keys

    def newest(self, value: bytes) -> bytes:
        """Return the digest of `value` (32 bytes) under the newest key."""
        return hmac.digest(self._keys.by_kid[self._keys.newest], value, hashlib.sha256)

    def every(self, value: bytes) -> tuple[bytes, ...]:
        """Return the digest of `value` under each key of the ring, newest first."""
        return tuple(hmac.digest(key, value, hashlib.sha256) for key in self._keys.by_kid.values())


class Sealer:
    """Seals values for one purpose as URL-safe text, and opens them."""

    __slots__ = ("_associated_data", "_ciphers", "_random_bytes")

    def __init__(self, ciphers: OfEachKey[AESGCM], associated_data: bytes, random_bytes: RandomBytes) -> None:
        self._ciphers = ciphers
        self._associated_data = associated_data
        self._random_bytes = random_bytes

    def seal(self, plain: bytes, *, bound: bytes = b"") -> str:
        """Return base64url(version | kid length | kid | nonce | ciphertext and tag), unpadded.

        Args:
            plain: what to seal.
            bound: where the value stands; it opens with the same bytes only.
        """
        newest = self._ciphers.newest
        header = _header(newest)
        nonce = self._random_bytes(NONCE_BYTES)
        sealed = self._ciphers.by_kid[newest].encrypt(nonce, plain, self._associated_data + header + bound)
        return base64.urlsafe_b64encode(header + nonce + sealed).rstrip(b"=").decode("ascii")

    def open(self, text: str, *, bound: bytes = b"") -> bytes:
        """Return the bytes that were passed to `seal`.

        Raises:
            SealError: the text was not sealed with a key of this ring for this purpose and these bound bytes.
        """
        return self.opened(text, bound=bound).plain

    def opened(self, text: str, *, bound: bytes = b"") -> "Opened":
        """Return what `open` does, and which key it was sealed with.

        Raises:
            SealError: see `open`.
        """
        header, kid, nonce, sealed = _split(_decode(text))
        cipher = self._ciphers.by_kid.get(kid)
        if cipher is None:
            raise UnknownKeyError("unknown key id")
        plain = _decrypt(cipher, nonce, sealed, self._associated_data + header + bound)
        return Opened(plain, newest=kid == self._ciphers.newest)


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened: the `plain` bytes, and whether the `newest` key of the ring had sealed them."""

    plain: bytes = field(repr=False)
    newest: bool


class RecordSealer:
    """Seals session records under a key that is derived from the visitor's secret and a server key.

    Opening a record needs both: neither the content of the store nor the server's keys are of use without the
    visitor's cookie. The name of the record is bound to it, so a record that is copied to another name does not open.
    """

    __slots__ = ("_associated_data", "_macs", "_random_bytes")

    def __init__(self, macs: OfEachKey[hmac.HMAC], associated_data: bytes, random_bytes: RandomBytes) -> None:
        self._macs = macs
        self._associated_data = associated_data
        self._random_bytes = random_bytes

    def seal(self, plain: bytes, *, secret: bytes, name: bytes) -> bytes:
        """Return version | kid length | kid | nonce | ciphertext and tag."""
        newest = self._macs.newest
        header = _header(newest)
        nonce = self._random_bytes(NONCE_BYTES)
        cipher = self._cipher(newest, secret, name)
        return header + nonce + cipher.encrypt(nonce, plain, self._associated_data + header + name)

    def open(self, blob: bytes, *, secret: bytes, name: bytes) -> bytes:
        """Return the bytes that were passed to `seal`.

        Raises:
            SealError: the secret or the name is another one, the key is unknown, or the record was changed.
        """
        header, kid, nonce, sealed = _split(blob)
        if kid not in self._macs.by_kid:
            raise SealError("unknown key id")
        cipher = self._cipher(kid, secret, name)
        return _decrypt(cipher, nonce, sealed, self._associated_data + header + name)

    def _cipher(self, kid: bytes, secret: bytes, name: bytes) -> AESGCM:
        # Both inputs are uniformly random and of fixed length, so a single HMAC is enough to derive the key.
        mac = self._macs.by_kid[kid].copy()
        mac.update(secret + name)
        return AESGCM(mac.digest())


def _header(kid: bytes) -> bytes:
    return bytes((VERSION, len(kid))) + kid


def _split(raw: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Split a sealed value into header, key id, nonce and ciphertext."""
    if len(raw) < 2 or raw[0] != VERSION:
        raise MalformedError("not a sealed value of this version")
    end = 2 + raw[1]
    if len(raw) < end + NONCE_BYTES + _TAG_BYTES:
        raise MalformedError("too short")
    return raw[:end], raw[2:end], raw[end : end + NONCE_BYTES], raw[end + NONCE_BYTES :]


def _decode(text: str) -> bytes:
    """Decode canonical unpadded base64url; any other encoding of the same bytes is refused."""
    try:
        encoded = text.encode("ascii")
        raw = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise MalformedError("not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != encoded:
        raise MalformedError("not canonical base64url")
    return raw


def _decrypt(cipher: AESGCM, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    try:
        return cipher.decrypt(nonce, sealed, associated_data)
    except InvalidTag:
        raise SealError("the authentication tag does not match") from None
