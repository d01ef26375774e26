"""What ``doctor`` finds: each part of this installation, its state, and how to mend it."""

import asyncio
import os
import platform as machine
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from multiagent.agents.custom import CustomAgent, Health
from multiagent.app.extensions import PATIENCE_S
from multiagent.app.place import Place
from multiagent.config.settings import Settings
from multiagent.config.sources import FILE
from multiagent.core.errors import PlatformError

_LOW_BYTES = 1 << 30


class Finding(msgspec.Struct, frozen=True):
    """One part: ``ok``, worth a ``note``, or ``bad`` (it must be mended before tasks run)."""

    name: str
    state: Literal["ok", "note", "bad"]
    found: str
    fix: str = ""


async def checkup(place: Place, environment: Mapping[str, str]) -> list[Finding]:
    """Look at everything once; nothing is changed and no vendor is called."""
    home, cache, settings = place.home, place.cache, place.settings
    return [
        _program(),
        _home(home),
        _configuration(home),
        await _database(place),
        await _workers(place),
        _sandbox(cache),
        await _policy(settings, cache),
        *await _extensions(settings),
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


async def _database(place: Place) -> Finding:
    from multiagent.app.look import tasks

    try:
        rows = await tasks(place, None, "", 1)
    except PlatformError as error:
        return Finding("database", "bad", f"{error.code}: {error.message}", "see the message")
    kind = "PostgreSQL, " if place.shared else ""
    return Finding("database", "ok", kind + (f"newest task {rows[0].id}" if rows else "no tasks yet"))


async def _workers(place: Place) -> Finding:
    """Who does the work: services, where it is theirs, or the process that owns the home."""
    if not place.served:
        return _owner(place)
    from multiagent.app.lacking import unpolled
    from multiagent.app.roles import SERVICES

    address = place.settings.temporal.address
    try:
        lacks = await unpolled(place, SERVICES)
    except PlatformError as error:
        fix = f"start Temporal at {address}" if error.retryable else "see the message"
        return Finding("services", "bad", f"{error.code}: {error.message}", fix)
    if lacks:
        return Finding("services", "note", f"Temporal at {address}", lacks)
    return Finding("services", "ok", f"Temporal at {address}; {', '.join(SERVICES)} are served")


def _owner(place: Place) -> Finding:
    pid = place.owner()
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


async def _policy(settings: Settings, cache: Path) -> Finding:
    from multiagent.app.policy import chosen_policy

    try:
        async with chosen_policy(settings, cache) as policy:
            where = f" on {settings.policy.url}" if settings.policy.url else ""
            found = f"bundle {policy.bundle_hash[:12]} ({settings.policy_dir or 'as shipped'}){where}"
    except PlatformError as error:
        fix = "see the message" if settings.policy.url else "mend the bundle, or unset policy_dir"
        return Finding("policy", "bad", f"{error.code}: {error.message}", fix)
    return Finding("policy", "ok", found)


async def _extensions(settings: Settings) -> list[Finding]:
    """Tools and agents of the user's own: what they can do, and whether they can do it now."""
    from multiagent.app.extensions import asked_for, load_extensions

    try:
        found = load_extensions(asked_for(settings.load), Path.cwd())
    except PlatformError as error:
        return [Finding("extensions", "bad", f"{error.code}: {error.message}", "mend it, or take it out of load")]
    tools = [Finding(f"tool {tool.spec.name}", "ok", f"of your own, group {tool.spec.group}") for tool in found.tools]
    return tools + [await _agent(name, agent) for name, agent in found.agents.items()]


async def _agent(name: str, agent: CustomAgent) -> Finding:
    async def asked() -> tuple[list[str], Health]:
        return await agent.get_capabilities(), await agent.health_check()

    asking = asyncio.ensure_future(asked())
    await asyncio.wait({asking}, timeout=PATIENCE_S)
    if not asking.done():
        asking.cancel()
        return Finding(
            f"agent {name}", "bad", f"did not say in {PATIENCE_S:.0f} s how it is", "see to its health_check"
        )
    error = asking.exception()
    if error is not None:
        return Finding(f"agent {name}", "bad", f"{type(error).__name__}: {error}", "see to its health_check")
    capabilities, health = asking.result()
    can = ", ".join(capabilities) or "it does not say what it can do"
    if health.healthy:
        return Finding(f"agent {name}", "ok", can)
    return Finding(f"agent {name}", "bad", f"{can}; not healthy: {health.message}", "its tasks fail until it is")


def _models(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    from multiagent.app.models import describe

    try:
        return [
            Finding(f"model vendor {one.vendor}", one.state, one.found, one.fix)
            for one in describe(settings, environment)
        ]
    except PlatformError as error:
        return [Finding("models", "bad", f"{error.code}: {error.message}", "mend models_file, or unset it")]
