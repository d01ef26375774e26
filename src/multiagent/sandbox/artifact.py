"""Where the compiled runtime lies, under which key, and whether it may be trusted.

A compiled component is native code: it is loaded only from a folder that nobody but this user can write, under a key
of all it was made from (guest sources, time zones, compilers, engine configuration, machine and its CPU features).
"""

import fcntl
import hashlib
import importlib.metadata
import os
import platform
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from multiagent.core.errors import SandboxBusy, SandboxDenied, SandboxUnbuilt

GUEST = Path(__file__).parent / "guest"
FOLDER = "sandbox"
MAX_AGE_S = 30 * 24 * 3600.0


class Artifact(msgspec.Struct, frozen=True):
    """A compiled runtime on disk: the manifest's content."""

    key: str
    file: str
    sha256: str
    component_sha256: str
    size: int
    built_s: float

    def path(self, cache_dir: Path) -> Path:
        """Return the compiled file's path."""
        return cache_dir / FOLDER / self.file


def source_key() -> str:
    """Return the key of the runtime this installation needs (16 hex digits)."""
    from multiagent.sandbox.engine_config import ENGINE_CONFIG

    digest = hashlib.sha256()
    for part in (
        importlib.metadata.version("wasmtime"),
        importlib.metadata.version("componentize-py"),
        importlib.metadata.version("tzdata"),
        ENGINE_CONFIG,
        platform.system(),
        platform.machine(),
        _cpu_features(),
    ):
        digest.update(part.encode() + b"\0")
    for source in sorted(GUEST.iterdir()):
        if source.suffix in {".py", ".wit"}:
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def open_folder(cache_dir: Path) -> Path:
    """Return the runtime's folder, made if missing, for this user alone.

    Raises SandboxDenied if another user owns it.
    """
    folder = cache_dir / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = folder.stat()
    if info.st_uid != os.geteuid():
        raise SandboxDenied(
            f"{folder} belongs to another user, so native code in it is not trusted; "
            "set MULTIAGENT_CACHE to a folder of yours"
        )
    if stat.S_IMODE(info.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder


def find(cache_dir: Path) -> Artifact | None:
    """Return the built runtime for this installation, or None.

    Raises SandboxDenied if its folder or file could have been written by somebody else.
    """
    if not (cache_dir / FOLDER).is_dir():
        return None
    folder = open_folder(cache_dir)
    manifest = folder / f"{source_key()}.json"
    try:
        artifact = msgspec.json.decode(manifest.read_bytes(), type=Artifact)
        info = (folder / artifact.file).stat()
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    if info.st_size != artifact.size:
        return None
    if info.st_uid != os.geteuid() or stat.S_IMODE(info.st_mode) & 0o022:
        raise SandboxDenied(
            f"{folder / artifact.file} can be written by others; delete it and run `multiagent sandbox build`"
        )
    return artifact


def require(cache_dir: Path) -> Path:
    """Return the compiled file's path.

    Raises SandboxUnbuilt if it has not been built, SandboxDenied as ``find``.
    """
    artifact = find(cache_dir)
    if artifact is None:
        raise SandboxUnbuilt(
            "the sandbox runtime is not built yet; run `multiagent sandbox build` (under a minute, once)"
        )
    path = artifact.path(cache_dir)
    os.utime(path)
    return path


def publish(folder: Path, artifact: Artifact) -> None:
    """Write the manifest atomically, and drop what no installation has used for a month."""
    temporary = folder / f"{artifact.key}.{os.getpid()}.tmp"
    temporary.write_bytes(msgspec.json.encode(artifact))
    temporary.replace(folder / f"{artifact.key}.json")
    oldest = time.time() - MAX_AGE_S
    for old in folder.glob("*.cwasm"):
        if old.name != artifact.file and old.stat().st_mtime < oldest:
            old.unlink(missing_ok=True)


@contextmanager
def build_lock(folder: Path, timeout_s: float) -> Iterator[None]:
    """Hold the folder's lock, so that one process builds at a time.

    Raises SandboxBusy if another holds it for longer than ``timeout_s``.
    """
    end = time.monotonic() + timeout_s
    with (folder / "build.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise SandboxBusy(
                        "another process is building the sandbox runtime; try again when it is done"
                    ) from None
                time.sleep(0.1)
        yield


def _cpu_features() -> str:
    """Name what the compiler may use of this CPU, so that an artifact moved to another machine is not loaded."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return " ".join(sorted(line.partition(":")[2].split()))
    except OSError:
        pass
    return platform.processor()
