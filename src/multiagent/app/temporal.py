"""Where Temporal is and with which key payloads are sealed, as the settings say."""

import base64
import binascii
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from multiagent.app.place import Place
from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.errors import ConfigInvalid
from multiagent.engines.base import ServedEngine, Workflow
from multiagent.engines.factory import EngineParts, open_temporal
from multiagent.engines.temporal.options import TemporalOptions, key_id

KEY_FILE: Final = "temporal.key"
KEY_BYTES: Final = 32
KEY_IDS: Final = "temporal.keys"
"""In a home: the names of the keys that its processes have sealed with, one a line."""


def temporal_options(place: Place) -> TemporalOptions:
    """Return how to reach Temporal. The home's own key is made where it is missing.

    Raises ConfigInvalid where a key file cannot be read or holds no key, or none that this home's processes seal with.
    """
    given = place.settings.temporal
    file = Path(given.key_file).expanduser() if given.key_file else own_key_file(place.home)
    current, *old = _keys(file)
    _same_as_before(place.home, file, (current, *old))
    return TemporalOptions(
        given.address, given.namespace, given.queues, current, tls=given.tls, api_key=given.api_key, old_keys=tuple(old)
    )


@asynccontextmanager
async def open_asked(place: Place, workflows: Sequence[Workflow[Any, Any]]) -> AsyncIterator[ServedEngine]:
    """Open the engine on Temporal as a terminal asks it, for the block, on a database that all may write to.

    Raises ConfigInvalid, StorageError's children.
    """
    async with place.storage() as storage:
        parts = EngineParts(storage.writer, storage.reader, storage.objects, SystemClock(), SystemIds())
        async with open_temporal(temporal_options(place), parts, workflows) as engine:
            yield engine


def own_key_file(home: Path) -> Path:
    """Return the home's key file, made with a new key where there is none; processes that come at once make one."""
    path = home / KEY_FILE
    if path.exists():
        return path
    trial = home / f"{KEY_FILE}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        with suppress(FileExistsError):
            os.link(trial, path)
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be made: {error.strerror}; name another in temporal.key_file") from None
    finally:
        trial.unlink(missing_ok=True)
    return path


def _same_as_before(home: Path, file: Path, keys: Sequence[bytes]) -> None:
    """Refuse keys none of which this home's processes know: nobody could go on with what was sealed with them."""
    path, names = home / KEY_IDS, [key_id(one) for one in keys]
    try:
        known = path.read_text("ascii", "replace").split() if path.exists() else []
        if known and not set(known) & set(names):
            raise ConfigInvalid(
                f"{file} holds key {names[0]}, but what this home has on Temporal is sealed with key {known[-1]}; "
                f"give every process the same keys, the older ones on lines of their own; where that key is lost, "
                f"remove {path}"
            )
        if names[0] not in known:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("a", encoding="ascii") as lines:
                lines.write(f"{names[0]}\n")
    except OSError as error:
        raise ConfigInvalid(f"{path} cannot be read or made: {error.strerror}") from None


def _keys(path: Path) -> tuple[bytes, ...]:
    """Return the keys of a file, one a line: the first seals, all open."""
    try:
        lines = path.read_text("ascii").split()
        keys = tuple(base64.b64decode(line, validate=True) for line in lines)
    except OSError as error:
        raise ConfigInvalid(f"temporal.key_file {path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, binascii.Error):
        keys = ()
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise ConfigInvalid(
            f"temporal.key_file {path} must hold keys of {KEY_BYTES} bytes in base64, one a line; make one: "
            f"head -c {KEY_BYTES} /dev/urandom | base64"
        )
    return keys
