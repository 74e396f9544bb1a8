"""Encryption of what is secret at rest: AES-256-GCM, with the key's id and the context bound in.

Sealed: a version byte, 4 bytes of key id, a 12-byte random nonce, the ciphertext with its 16-byte tag
(NIST SP 800-38D). The context names the row, so that a sealed value moved to another row does not open.
"""

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from slipway.errors import SlipwayError

_VERSION = b"\x01"
KEY_BYTES = 32


class Sealed(SlipwayError):
    """A sealed value does not open with this installation's key."""

    code = "sealed"


class Vault:
    """Seals and opens with one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise Sealed(f"The installation's key must be {KEY_BYTES} bytes; this one has {len(key)}.")
        self._cipher = AESGCM(key)
        self._key_id = hashlib.sha256(key).digest()[:4]

    def __repr__(self) -> str:
        return "Vault(…)"

    def seal(self, plain: bytes, context: str) -> bytes:
        nonce = os.urandom(12)
        head = _VERSION + self._key_id
        return head + nonce + self._cipher.encrypt(nonce, plain, head + context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Raises Sealed where the key is another, the context is another, or a byte was changed."""
        head, nonce, body = sealed[:5], sealed[5:17], sealed[17:]
        if head != _VERSION + self._key_id:
            raise Sealed(f"{context} was encrypted with another key than /etc/slipway/key. Restore that key.")
        try:
            return self._cipher.decrypt(nonce, body, head + context.encode())
        except InvalidTag as error:
            raise Sealed(f"{context} was changed in the database by something else than Slipway.") from error
