"""The sandbox without a task: build its runtime, run one program in it."""

from pathlib import Path
from typing import Final

from multiagent.config.settings import SandboxSettings
from multiagent.core.errors import InvalidInput
from multiagent.sandbox.artifact import Artifact
from multiagent.sandbox.base import MIB, Grant, Limits, RunRequest, RunResult
from multiagent.sandbox.build import Progress, build
from multiagent.sandbox.factory import is_built, open_sandbox

KIB: Final = 1 << 10
LONGEST_S: Final = 3600


def build_runtime(cache: Path, progress: Progress, *, force: bool) -> Artifact:
    """Return the runtime, built first where it is missing; blocks for that long. Raises SandboxError's children."""
    return build(cache, progress, force=force)


def ensure_runtime(cache: Path, progress: Progress) -> None:
    """Build the runtime where it is missing; blocks for that long. Raises SandboxError's children."""
    if not is_built(cache):
        build(cache, progress)


def limits(settings: SandboxSettings, timeout_s: float | None = None) -> Limits:
    """Return the limits of a run as configured."""
    return Limits(
        timeout_s=settings.timeout_s if timeout_s is None else timeout_s,
        memory_bytes=settings.memory_mib * MIB,
        output_bytes=settings.output_kib * KIB,
    )


async def run_program(
    code: str, grants: tuple[str, ...], timeout_s: float | None, settings: SandboxSettings, cache: Path
) -> RunResult:
    """Run one Python program; ``grants`` are ``DIR`` or ``DIR:rw``. Raises InvalidInput and SandboxError's children."""
    if timeout_s is not None and not 0 < timeout_s <= LONGEST_S:
        raise InvalidInput(f"a timeout must be over 0 and at most {LONGEST_S:,} seconds")
    request = RunRequest(code=code, grants=tuple(grant(text) for text in grants), limits=limits(settings, timeout_s))
    async with open_sandbox(cache, size=1) as sandbox:
        return await sandbox.run(request)


def grant(text: str) -> Grant:
    """Parse ``DIR`` (read-only) or ``DIR:rw``; the guest sees the folder under its own absolute path."""
    writable = text.endswith(":rw")
    if not text.removesuffix(":rw").removesuffix(":ro"):
        raise InvalidInput("a grant names a folder; this one is empty")
    path = Path(text.removesuffix(":rw").removesuffix(":ro")).expanduser()
    if not path.is_dir():
        raise InvalidInput(f"{path} is not a folder; a grant names a folder that exists")
    resolved = str(path.resolve())
    return Grant(resolved, resolved, writable)
