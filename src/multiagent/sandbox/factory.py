"""Opens the sandbox."""

from collections.abc import Mapping
from pathlib import Path

from multiagent.sandbox import artifact
from multiagent.sandbox.base import Sandbox
from multiagent.sandbox.build import Progress, build


def open_sandbox(
    cache_dir: Path,
    *,
    size: int = 2,
    max_waiting: int = 64,
    lease_timeout_s: float = 30.0,
) -> Sandbox:
    """Return a sandbox over the runtime in ``cache_dir``; own it with ``async with``.

    Nothing starts before the first ``run``, which raises SandboxUnbuilt if the runtime has not been built.
    """
    from multiagent.sandbox.pooled import PooledSandbox

    return PooledSandbox(
        lambda: artifact.require(cache_dir), size=size, max_waiting=max_waiting, lease_timeout_s=lease_timeout_s
    )


def is_built(cache_dir: Path) -> bool:
    """Whether the runtime for this installation is there."""
    return artifact.find(cache_dir) is not None


def ensure_built(cache_dir: Path, progress: Progress, *, force: bool = False) -> Path:
    """Return the compiled runtime's path, built first if it is missing; blocks for as long.

    Raises as ``build.build``.
    """
    return build(cache_dir, progress, force=force).path(cache_dir)


def default_cache_dir(environment: Mapping[str, str]) -> Path:
    """Return ``MULTIAGENT_CACHE``, or ``multiagent`` in the user's cache folder."""
    if given := environment.get("MULTIAGENT_CACHE"):
        return Path(given)
    if base := environment.get("XDG_CACHE_HOME"):
        return Path(base) / "multiagent"
    return Path(environment.get("HOME", "~")).expanduser() / ".cache" / "multiagent"
