"""Encryption at rest (AES-256-GCM) and signed tokens (HMAC-SHA256), from one key in the environment or a file."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from outreachdb.config import Settings
from outreachdb.errors import InvalidInput, UsageError
from outreachdb.words import counted

KEY_BYTES = 32
NONCE_BYTES = 12


class Keyring:
    """Holds the key; neither ``repr`` nor an error shows it."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise UsageError(
                f"the secret key has {counted(len(key), 'byte')}, not {KEY_BYTES}", hint="openssl rand -base64 32"
            )
        self._key = key
        self._derived: dict[str, bytes] = {}

    @classmethod
    def load(cls, settings: Settings) -> Keyring:
        """From ``secret_key``, else ``secret_key_file``, else a file in the home folder that is made on first use."""
        if settings.secret_key:
            return cls(_decode(settings.secret_key, "OUTREACHDB_SECRET_KEY"))
        path = settings.secret_key_file or settings.home / "secret.key"
        if settings.secret_key_file is None:
            _create_once(path)
        try:
            return cls(_decode(path.read_text(encoding="ascii"), str(path)))
        except OSError as error:
            raise UsageError(f"the secret key file {path} can't be read: {error.strerror}") from None

    def encrypt(self, plain: str, *, context: str) -> bytes:
        """Encrypt; ``context`` (such as "mailbox:7") must be the same when decrypting, so rows can't be swapped."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self._derive("encrypt")).encrypt(nonce, plain.encode(), context.encode())

    def decrypt(self, sealed: bytes, *, context: str) -> str:
        """Decrypt what :meth:`encrypt` made; raises InvalidInput when key or context differ."""
        try:
            return (
                AESGCM(self._derive("encrypt"))
                .decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
                .decode()
            )
        except InvalidTag:
            raise InvalidInput(
                "a stored secret can't be decrypted", hint="is OUTREACHDB_SECRET_KEY the one it was stored with?"
            ) from None

    def sign(self, purpose: str, message: str, *, length: int = 16) -> str:
        """The first ``length`` bytes of the HMAC, in lower-case hexadecimal (survives systems that fold case)."""
        return hmac.digest(self._derive(purpose), message.encode(), "sha256")[:length].hex()

    def verify(self, purpose: str, message: str, signature: str) -> bool:
        """Whether the signature is ours, in constant time."""
        return hmac.compare_digest(self.sign(purpose, message, length=len(signature) // 2), signature.lower())

    def _derive(self, purpose: str) -> bytes:
        derived = self._derived.get(purpose)
        if derived is None:
            derived = self._derived[purpose] = hmac.digest(self._key, f"outreachdb:{purpose}".encode(), "sha256")
        return derived

    def __repr__(self) -> str:
        return "Keyring(***)"


def _decode(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"{where} is not base64", hint="openssl rand -base64 32") from None


def _create_once(path: Path) -> None:
    """Make the key file unless it is there; two starters at once end with one whole key (link is atomic)."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
