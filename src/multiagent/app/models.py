"""Which models there are: the models file, read, and what `doctor` says of it."""

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

import msgspec

from multiagent.app.snapshot import model_limit
from multiagent.config.settings import Settings
from multiagent.core.errors import ConfigInvalid
from multiagent.llm.factory import GateConfig, VendorLine
from multiagent.llm.factory import describe as describe_vendors
from multiagent.llm.factory import is_offline as only_offline


class VendorFinding(msgspec.Struct, frozen=True):
    """One vendor as `doctor` shows it."""

    vendor: str
    state: Literal["ok", "note"]
    found: str
    fix: str = ""


def gate_config(settings: Settings, owner: str) -> GateConfig:
    """Return the gate's configuration; ConfigInvalid where the models file cannot be read."""
    path = Path(settings.models_file).expanduser() if settings.models_file else shipped("configs", "models.yaml")
    return GateConfig(
        owner=owner,
        models=_parsed(path),
        source=str(path) if settings.models_file else "configs/models.yaml",
        cache_ttl_s=settings.cache.ttl_s,
        offline_latency_s=settings.offline.latency_s,
        offline_failure_rate=settings.offline.failure_rate,
        model_day=model_limit(settings),
    )


def shipped(folder: str, name: str) -> Path:
    """Return a file that ships with the package (in a checkout: beside ``src``)."""
    packaged = files("multiagent").joinpath(folder, name)
    if packaged.is_file():
        with as_file(packaged) as path:
            return path
    return Path(__file__).resolve().parents[3] / folder / name


def _parsed(path: Path) -> object:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        document: object = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 — a safe loader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigInvalid(f"models file {path} cannot be read: {error}") from None
    return document


def describe(settings: Settings, environment: Mapping[str, str]) -> list[VendorFinding]:
    """Return what there is to say of each vendor: present, or which variable would switch it on."""
    lines = describe_vendors(gate_config(settings, "doctor"), environment)
    return [_finding(line) for line in lines]


def _finding(line: VendorLine) -> VendorFinding:
    if line.present:
        note = " (built in; a deterministic stand-in, no real model)" if line.name == "offline" else ""
        return VendorFinding(line.name, "ok", ", ".join(line.models) + note)
    return VendorFinding(line.name, "note", "not configured", f"set {' or '.join(line.needs)}")


def offline_hint(config: GateConfig, environment: Mapping[str, str]) -> str:
    """Return what to tell a person when only the built-in model answers, else nothing."""
    if not only_offline(config, environment):
        return ""
    needs = [line.needs[0] for line in describe_vendors(config, environment) if line.needs]
    return (
        "no model vendor is configured: the built-in offline model answers, a deterministic stand-in; "
        f"for a real model set {', '.join(needs[:-1])}{' or ' if len(needs) > 1 else ''}{needs[-1] if needs else ''}"
    )
