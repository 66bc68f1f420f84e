"""Sealing: AES-256-GCM under a key ring.

The first key of the ring seals, all of them open. Every sealed value names its key id in clear and binds
(as associated data) the format version, the purpose, the tenant and that key id, so that a value sealed for
one use opens for no other. Each use has a key of its own, derived once from the ring's keys by HKDF
(RFC 5869). This is the only module that imports `cryptography`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION: Final = 1
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16

RandomBytes = Callable[[int], bytes]


class SealError(Exception):
    """A sealed value does not open: malformed, of another use, of an unknown key, or tampered with."""


class MalformedError(SealError):
    """The value has not even the shape of a sealed one."""


class KeyRing:
    """The server's keys, newest first.

    Args:
        keys: pairs of key id (1–16 ASCII characters) and 32 bytes; the first seals.
        tenant: bound into everything sealed.
        random_bytes: the source of nonces, `secrets.token_bytes` outside tests.

    Raises:
        ValueError: the ring is empty or a key has the wrong length.
    """

    __slots__ = ("_keys", "_random_bytes", "_tenant")

    def __init__(self, keys: Sequence[tuple[str, bytes]], tenant: str, random_bytes: RandomBytes) -> None:
        if not keys or any(len(key) != KEY_BYTES for _, key in keys):
            raise ValueError("a key ring needs at least one key, each of 32 bytes")
        self._keys = tuple((kid.encode("ascii"), key) for kid, key in keys)
        self._tenant = tenant.encode("ascii")
        self._random_bytes = random_bytes

    def sealer(self, purpose: str) -> "Sealer":
        """Return what seals and opens values of one purpose; build it once and keep it."""
        ciphers = {kid: AESGCM(self._derive(key, b"seal", purpose)) for kid, key in self._keys}
        return Sealer(ciphers, self._bound(purpose), self._random_bytes)

    def record_sealer(self) -> "RecordSealer":
        """Return what seals session records under a key that needs the visitor's secret as well."""
        servers = {kid: self._derive(key, b"record", "session") for kid, key in self._keys}
        return RecordSealer(servers, self._bound("session"), self._random_bytes)

    def digest(self, purpose: str) -> "KeyedDigest":
        """Return a keyed digest of one purpose, for names that must tell nothing (RFC 2104)."""
        return KeyedDigest(tuple(self._derive(key, b"digest", purpose) for _, key in self._keys))

    def _derive(self, key: bytes, use: bytes, purpose: str) -> bytes:
        info = b"|".join((b"emporix-bff", use, purpose.encode("ascii"), self._tenant))
        return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)

    def _bound(self, purpose: str) -> bytes:
        return b"|".join((b"emporix-bff", bytes([VERSION]), purpose.encode("ascii"), self._tenant))


class KeyedDigest:
    """HMAC-SHA256 under the ring's keys, newest first."""

    __slots__ = ("_keys",)

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        self._keys = keys

    def newest(self, value: bytes) -> bytes:
        """Return 32 bytes under the newest key."""
        return hmac.digest(self._keys[0], value, hashlib.sha256)

    def every(self, value: bytes) -> tuple[bytes, ...]:
        """Return 32 bytes for each key of the ring, newest first."""
        return tuple(hmac.digest(key, value, hashlib.sha256) for key in self._keys)


class Sealer:
    """Seals and opens values of one purpose as URL-safe text."""

    __slots__ = ("_bound", "_ciphers", "_newest", "_random_bytes")

    def __init__(self, ciphers: dict[bytes, AESGCM], bound: bytes, random_bytes: RandomBytes) -> None:
        self._ciphers = ciphers
        self._newest = next(iter(ciphers))
        self._bound = bound
        self._random_bytes = random_bytes

    def seal(self, plain: bytes) -> str:
        """Return base64url(version | kid length | kid | nonce | ciphertext and tag), unpadded."""
        header = _header(self._newest)
        nonce = self._random_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(nonce, plain, self._bound + header)
        return base64.urlsafe_b64encode(header + nonce + sealed).rstrip(b"=").decode("ascii")

    def open(self, text: str) -> bytes:
        """Return what `seal` was given.

        Raises:
            SealError: the text is not one that this ring sealed for this purpose.
        """
        header, kid, nonce, sealed = _split(_decode(text))
        cipher = self._ciphers.get(kid)
        if cipher is None:
            raise SealError("unknown key id")
        return _decrypt(cipher, nonce, sealed, self._bound + header)


class RecordSealer:
    """Seals session records under a key made of the visitor's secret and a server key.

    Neither half opens a record: the store's content is useless without a visitor's cookie, and so are the
    server's keys. The record's name is bound in, so that a record moved to another name does not open.
    """

    __slots__ = ("_bound", "_newest", "_random_bytes", "_servers")

    def __init__(self, servers: dict[bytes, bytes], bound: bytes, random_bytes: RandomBytes) -> None:
        self._servers = servers
        self._newest = next(iter(servers))
        self._bound = bound
        self._random_bytes = random_bytes

    def seal(self, plain: bytes, *, secret: bytes, name: bytes) -> bytes:
        """Return version | kid length | kid | nonce | ciphertext and tag."""
        header = _header(self._newest)
        nonce = self._random_bytes(NONCE_BYTES)
        cipher = self._cipher(self._newest, secret, name)
        return header + nonce + cipher.encrypt(nonce, plain, self._bound + header + name)

    def open(self, blob: bytes, *, secret: bytes, name: bytes) -> bytes:
        """Return what `seal` was given.

        Raises:
            SealError: another secret, another name, an unknown key, or a changed record.
        """
        header, kid, nonce, sealed = _split(blob)
        if kid not in self._servers:
            raise SealError("unknown key id")
        return _decrypt(self._cipher(kid, secret, name), nonce, sealed, self._bound + header + name)

    def _cipher(self, kid: bytes, secret: bytes, name: bytes) -> AESGCM:
        # Both inputs are uniformly random and of fixed length, so one HMAC is the key derivation.
        return AESGCM(hmac.digest(self._servers[kid], secret + name, hashlib.sha256))


def _header(kid: bytes) -> bytes:
    return bytes((VERSION, len(kid))) + kid


def _split(raw: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return header, key id, nonce and ciphertext, by fixed lengths only."""
    if len(raw) < 2 or raw[0] != VERSION:
        raise MalformedError("not a sealed value of this version")
    end = 2 + raw[1]
    if len(raw) < end + NONCE_BYTES + _TAG_BYTES:
        raise MalformedError("too short")
    return raw[:end], raw[2:end], raw[end : end + NONCE_BYTES], raw[end + NONCE_BYTES :]


def _decode(text: str) -> bytes:
    """Decode canonical unpadded base64url: one value has one spelling."""
    try:
        encoded = text.encode("ascii")
        raw = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise MalformedError("not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != encoded:
        raise MalformedError("not canonical base64url")
    return raw


def _decrypt(cipher: AESGCM, nonce: bytes, sealed: bytes, bound: bytes) -> bytes:
    try:
        return cipher.decrypt(nonce, sealed, bound)
    except InvalidTag:
        raise SealError("the tag does not fit") from None
