"""What ``doctor`` finds: each part of this installation, its state, and how to mend it."""

import os
import platform as machine
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from multiagent.config.settings import Places, Settings
from multiagent.config.sources import FILE
from multiagent.core.errors import PlatformError

_LOW_BYTES = 1 << 30


class Finding(msgspec.Struct, frozen=True):
    """One part: ``ok``, worth a ``note``, or ``bad`` (it must be mended before tasks run)."""

    name: str
    state: Literal["ok", "note", "bad"]
    found: str
    fix: str = ""


async def checkup(places: Places, settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """Look at everything once; nothing is changed and no vendor is called."""
    home, cache = Path(places.home), Path(places.cache)
    return [
        _program(),
        _home(home),
        _configuration(home),
        await _database(home),
        _owner(home),
        _sandbox(cache),
        _policy(settings, cache),
        *_models(settings, environment),
    ]


def _program() -> Finding:
    from importlib.metadata import version

    return Finding(
        "program", "ok", f"multiagent {version('multiagent')}, Python {machine.python_version()}, {sys.platform}"
    )


def _home(home: Path) -> Finding:
    existing = home if home.exists() else next(parent for parent in home.parents if parent.exists())
    if not os.access(existing, os.W_OK):
        return Finding("home", "bad", f"{home} cannot be written", "choose another: MULTIAGENT_HOME=DIR")
    free = shutil.disk_usage(existing).free
    if free < _LOW_BYTES:
        return Finding(
            "home", "note", f"{home}, only {free >> 20} MiB free", "free some space, or move MULTIAGENT_HOME"
        )
    return Finding("home", "ok", f"{home}, {free >> 30} GiB free" + ("" if home.exists() else ", made at first use"))


def _configuration(home: Path) -> Finding:
    path = home / FILE
    if path.exists():
        return Finding("configuration", "ok", str(path))
    return Finding("configuration", "ok", f"defaults ({path} does not exist)")


async def _database(home: Path) -> Finding:
    from multiagent.app.look import tasks

    try:
        rows = await tasks(home, None, "", 1)
    except PlatformError as error:
        return Finding("database", "bad", f"{error.code}: {error.message}", "see the message")
    return Finding("database", "ok", f"newest task {rows[0].id}" if rows else "no tasks yet")


def _owner(home: Path) -> Finding:
    from multiagent.engines.embedded.lock import owner

    pid = owner(home)
    if pid is None:
        return Finding("owner", "ok", "no process works on this home")
    return Finding("owner", "note", f"process {pid} works on this home", "wait for it, or use another MULTIAGENT_HOME")


def _sandbox(cache: Path) -> Finding:
    from multiagent.sandbox.factory import is_built

    try:
        built = is_built(cache)
    except PlatformError as error:
        return Finding("sandbox", "bad", f"{error.code}: {error.message}", "multiagent sandbox build --force")
    if built:
        return Finding("sandbox", "ok", f"built, in {cache}")
    return Finding("sandbox", "note", "not built yet; the first run builds it", "multiagent sandbox build")


def _policy(settings: Settings, cache: Path) -> Finding:
    from multiagent.policy.factory import open_policy

    directory = Path(settings.policy_dir) if settings.policy_dir else None
    try:
        policy = open_policy(directory, verdicts=cache)
    except PlatformError as error:
        return Finding("policy", "bad", f"{error.code}: {error.message}", "mend the bundle, or unset policy_dir")
    return Finding("policy", "ok", f"bundle {policy.bundle_hash[:12]} ({settings.policy_dir or 'as shipped'})")


def _models(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    from multiagent.app.models import describe

    try:
        return [
            Finding(f"model vendor {one.vendor}", one.state, one.found, one.fix)
            for one in describe(settings, environment)
        ]
    except PlatformError as error:
        return [Finding("models", "bad", f"{error.code}: {error.message}", "mend models_file, or unset it")]
