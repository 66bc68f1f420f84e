"""What the key ring derives, computed here a second time: a release must open what an earlier one has sealed."""

import base64
import hmac
import secrets

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bff.security.keyring import KeyRing

KEY, OLDER = bytes(range(32)), bytes(range(32, 64))
RING = KeyRing([("k2", KEY), ("k1", OLDER)], "acmeshop", secrets.token_bytes)
HEADER = b"\x01\x02k2"


def derived(key: bytes, use: bytes, purpose: bytes) -> bytes:
    """Return 32 bytes by HKDF with SHA-256 and no salt (RFC 5869 §2), which is one block."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, b"emporix-bff|" + use + b"|" + purpose + b"|acmeshop\x01", "sha256")


def opened(sealed: bytes, key: bytes, bound: bytes) -> bytes:
    """Open header, nonce, ciphertext and tag."""
    assert sealed.startswith(HEADER)
    rest = sealed[len(HEADER) :]
    return AESGCM(key).decrypt(rest[:12], rest[12:], bound)


def test_a_text_is_sealed_with_the_newest_key_of_its_purpose() -> None:
    text = RING.sealer("cookie").seal(b"a ticket")
    sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    bound = b"emporix-bff|\x01|cookie|acmeshop" + HEADER
    assert opened(sealed, derived(KEY, b"seal", b"cookie"), bound) == b"a ticket"


def test_a_record_is_sealed_with_the_newest_key_and_the_visitors_secret() -> None:
    secret, name = secrets.token_bytes(32), secrets.token_bytes(32)
    sealed = RING.record_sealer().seal(b"a record", secret=secret, name=name)
    key = hmac.digest(derived(KEY, b"record", b"session"), secret + name, "sha256")
    bound = b"emporix-bff|\x01|session|acmeshop" + HEADER + name
    assert opened(sealed, key, bound) == b"a record"


def test_a_digest_is_under_the_newest_key_and_a_use_of_its_own() -> None:
    digest = RING.digest("index owner")
    newest, older = (
        hmac.digest(derived(key, b"digest", b"index owner"), b"ada@example.com", "sha256")
        for key in (KEY, OLDER)
    )
    assert digest.newest(b"ada@example.com") == newest
    assert digest.every(b"ada@example.com") == (newest, older)
