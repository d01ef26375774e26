"""What the server keeps of payloads: AES-256-GCM, and for large ones only a reference to where the rest is kept.

Whoever reads the server's database or listens on the way sees keys of steps, names of signals and codes of errors,
and nothing of what they carry.
"""

import asyncio
import logging
import os
import zlib
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from multiagent.core.errors import ConfigInvalid, EngineError
from multiagent.engines.temporal.converter import ENCODING, FOREIGN
from multiagent.engines.temporal.options import key_id
from multiagent.storage.objects.base import Objects

LARGE: Final = 256 * 1024
"""Payloads over so many bytes are kept in objects, compressed."""
TENANT: Final = "_engine"
"""Whose objects they are: a payload does not say which tenant it is of."""
_SEALED: Final = b"multiagent/aes256gcm"
_KEPT: Final = b"multiagent/aes256gcm-kept"
_KEY: Final = "key"
_NONCE: Final = 12
_MOST_TOLD: Final = 8
"""Missing keys that the log names; more are somebody's play."""
_log = logging.getLogger("multiagent.engine")


class SealingCodec(PayloadCodec):
    """Encrypts with the first key; reads what any of the keys has encrypted."""

    def __init__(self, key: bytes, old_keys: Sequence[bytes], objects: Objects) -> None:
        for one in (key, *old_keys):
            if len(one) != 32:
                raise ConfigInvalid(f"a key of Temporal's payloads has 32 bytes, not {len(one)}; make a new one")
        self._id = key_id(key)
        self._ciphers = {key_id(one): AESGCM(one) for one in (*old_keys, key)}
        self._objects = objects
        self._lacks: set[str] = set()

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return each payload sealed; a large one is stored first, and what is returned says where."""
        return [await self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return each payload as it was, and an empty one for what was not sealed: the server itself writes some.

        EngineError for one that no key here opens, or that was tampered with.
        """
        return [await self._open(payload) for payload in payloads]

    async def _seal(self, payload: Payload) -> Payload:
        name, plain = self._id.encode(), payload.SerializeToString()
        if len(plain) <= LARGE:
            return Payload(metadata={ENCODING: _SEALED, _KEY: name}, data=self._sealed(plain))
        kept = await asyncio.to_thread(lambda: self._sealed(zlib.compress(plain, 1)))
        address = await self._objects.put(TENANT, kept)
        return Payload(metadata={ENCODING: _KEPT, _KEY: name}, data=address.encode())

    def _sealed(self, plain: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[self._id].encrypt(nonce, plain, self._id.encode())

    async def _open(self, payload: Payload) -> Payload:
        encoding = payload.metadata.get(ENCODING, b"")
        if encoding not in (_SEALED, _KEPT):
            return Payload(metadata={ENCODING: FOREIGN})
        name = payload.metadata.get(_KEY, b"").decode("ascii", "replace")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise self._lacking(name)
        try:
            if encoding == _SEALED:
                return Payload.FromString(_opened(cipher, payload.data, name))
            kept = await self._objects.get(TENANT, payload.data.decode("ascii", "replace"))
            return Payload.FromString(await asyncio.to_thread(lambda: zlib.decompress(_opened(cipher, kept, name))))
        except (InvalidTag, ValueError) as error:
            raise EngineError(
                "a payload on the Temporal server was tampered with or damaged; it is not read"
            ) from error

    def _lacking(self, name: str) -> EngineError:
        """Said in the log once for each key: what runs a step or a workflow tells nobody why it cannot be read."""
        trouble = f"a payload is encrypted with key {name}, which this process lacks; give every process the same keys"
        if name not in self._lacks and len(self._lacks) < _MOST_TOLD:
            self._lacks.add(name)
            _log.error("%s (temporal.key_file)", trouble)
        return EngineError(trouble)


def _opened(cipher: AESGCM, sealed: bytes, name: str) -> bytes:
    return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
