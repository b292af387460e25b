"""Seals small values at rest: AES-256-GCM under an org's data key, which is itself wrapped by the installation's key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rowmill.errors import ConfigError

_NONCE_BYTES = 12
_VERSION = b"\x01"


class Sealer:
    """Seals and opens with one 32-byte key. What it is bound to (`aad`) must be the same at both ends."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, aad: str) -> bytes:
        """Encrypt. Shape: version byte, nonce, ciphertext with its tag."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, aad.encode())

    def open(self, sealed: bytes | memoryview, aad: str) -> bytes:
        """Decrypt. Raises: ConfigError where the key or the place is another."""
        body = bytes(sealed)
        if body[:1] != _VERSION:
            raise ConfigError("A sealed value has an unknown form: was it written by a newer release?")
        try:
            return self._cipher.decrypt(body[1 : 1 + _NONCE_BYTES], body[1 + _NONCE_BYTES :], aad.encode())
        except InvalidTag:
            raise ConfigError(
                "A sealed value does not open: is ROWMILL_ENCRYPTION_KEY the one it was sealed with?"
            ) from None

    def mac(self, message: bytes, purpose: str) -> str:
        """Give a keyed digest in hex, with a key of its own for each purpose."""
        key = hmac.new(self._key, b"mac:" + purpose.encode(), hashlib.sha256).digest()
        return hmac.new(key, message, hashlib.sha256).hexdigest()


def master_sealer(text: str) -> Sealer:
    """Make the installation's sealer from its setting. Raises: ConfigError unless it is base64 of 32 bytes."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ConfigError("ROWMILL_ENCRYPTION_KEY must be base64 of 32 bytes.") from error
    if len(key) != 32:
        raise ConfigError("ROWMILL_ENCRYPTION_KEY must be base64 of 32 bytes.")
    return Sealer(key)


def new_key() -> bytes:
    """Make a data key."""
    return secrets.token_bytes(32)
