"""Where settings come from: defaults, then ``<home>/config.yaml``, then ``MULTIAGENT_*`` variables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from multiagent.config.settings import Places, Settings, check
from multiagent.core.errors import ConfigInvalid

PREFIX: Final = "MULTIAGENT_"
FILE: Final = "config.yaml"
_OTHER_USES: Final = frozenset({"HOME", "CACHE", "FAULT"})
_DEEPEST: Final = 2


def places(environment: Mapping[str, str]) -> Places:
    """Return home and cache.

    ``MULTIAGENT_HOME`` else ``~/.multiagent``; ``MULTIAGENT_CACHE`` else ``~/.cache/multiagent``.
    """
    user = Path(environment.get("HOME") or Path.home())
    cache = Path(environment.get("XDG_CACHE_HOME") or user / ".cache") / "multiagent"
    return Places(
        str(Path(environment.get("MULTIAGENT_HOME") or user / ".multiagent").absolute()),
        str(Path(environment.get("MULTIAGENT_CACHE") or cache).absolute()),
    )


def load(home: Path, environment: Mapping[str, str]) -> Settings:
    """Return the settings in force.

    A nested key is written with two underscores in a variable: ``MULTIAGENT_TASK__MAX_AGENTS=3``.
    Raises ConfigInvalid naming the file or variable and the key.
    """
    tree = _from_file(home / FILE)
    for name in sorted(environment):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in _OTHER_USES:
            _set(tree, name.removeprefix(PREFIX).lower().split("__"), environment[name], name)
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"configuration: {error} (from {home / FILE} and {PREFIX}* variables)") from None
    wrong = check(settings)
    if wrong:
        raise ConfigInvalid("configuration: " + "; ".join(wrong))
    return settings


def _from_file(path: Path) -> dict[str, object]:
    try:
        if not path.exists():
            return {}
    except OSError as error:
        raise ConfigInvalid(
            f"{path.parent} cannot be the home: {error.strerror}; set MULTIAGENT_HOME to another"
        ) from None
    import yaml

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise ConfigInvalid(f"{path} must be a mapping of sections, as in configs/multiagent.yaml")
    return tree


def _set(tree: dict[str, object], path: list[str], value: str, variable: str) -> None:
    if len(path) > _DEEPEST or not all(path):
        raise ConfigInvalid(f"{variable}: no such setting; write {PREFIX}SECTION__KEY")
    for part in path[:-1]:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigInvalid(f"{variable}: {part} has no parts")
        tree = inner
    tree[path[-1]] = value
