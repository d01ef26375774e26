"""A folder of Rego files, vetted: only a bundle that compiles, keeps inside and passes its own tests may decide."""

import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from multiagent.core.canonical import digest
from multiagent.core.errors import PolicyBroken
from multiagent.policy.facts import ENTRIES
from multiagent.policy.source import Module, read_module
from multiagent.policy.testcases import prepare

_CHECKS: Final = 1
"""Counts up whenever the checks below change, so that verdicts of older checks are not believed."""
PASSED: Final = b"passed\n"
REFUSED: Final = 3
"""How the vetting process answers: ``PASSED`` last on standard output, or this code with the reason on the other."""
TESTS: Final = "_test.rego"
_MOST_BYTES: Final = 1 << 20
_MOST_FILES: Final = 256
_VETTING_S: Final = 60.0


class Bundle(msgspec.Struct, frozen=True):
    """The files of a folder; ``hash`` covers their names and every byte."""

    hash: str
    rules: tuple[Module, ...]
    tests: tuple[Module, ...]


Sources = list[tuple[str, str]]
"""The files of a bundle: name below its folder, and text; by name."""


def read_sources(directory: Path) -> Sources:
    """Read all ``*.rego`` below a folder; PolicyBroken says what is wrong with them."""
    try:
        paths = sorted(path for path in directory.rglob("*.rego") if path.is_file())
        if not paths or len(paths) > _MOST_FILES:
            raise PolicyBroken(f"{directory} holds {len(paths)} .rego files; a bundle has 1 to {_MOST_FILES}")
        if sum(path.stat().st_size for path in paths) > _MOST_BYTES:
            raise PolicyBroken(f"{directory} holds more than {_MOST_BYTES} bytes of Rego")
        return [(path.relative_to(directory).as_posix(), path.read_text(encoding="utf-8")) for path in paths]
    except OSError as error:
        raise PolicyBroken(f"the policy bundle in {directory} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PolicyBroken(f"the policy bundle in {directory} is not UTF-8 text") from error


def bundle_of(sources: Sources) -> Bundle:
    """Return the bundle of these files (``*_test.rego`` are tests); PolicyBroken names one that may not be in it."""
    modules = [prepare(read_module(name, source)) for name, source in sources]
    return Bundle(
        digest("multiagent.policy.bundle.v1", sources),
        tuple(module for module in modules if not module.name.endswith(TESTS)),
        tuple(module for module in modules if module.name.endswith(TESTS)),
    )


def read_bundle(directory: Path) -> Bundle:
    """Return the bundle in a folder; PolicyBroken says what is wrong with which file."""
    return bundle_of(read_sources(directory))


def vet(bundle: Bundle, verdicts: Path | None = None) -> None:
    """Refuse (PolicyBroken) a bundle that calls what it may not, lacks an entry point, or fails one of its tests.

    This happens in a process of its own: some wrong bundles abort the engine. A verdict is kept by bundle,
    engine and checks in a folder of its own below ``verdicts``, so that the same bundle is tested once; that folder
    is believed only while it is this user's alone.
    """
    folder = None if verdicts is None else verdicts / "policy-verdicts"
    kept = folder / _verdict_name(bundle) if folder is not None and _private(folder) else None
    if kept is not None and kept.exists():
        return
    answer = _vet_apart(bundle)
    if answer:
        raise PolicyBroken(f"the policy bundle is refused: {answer}")
    if kept is not None:
        with suppress(OSError):
            kept.touch(mode=0o600)


def _vet_apart(bundle: Bundle) -> str:
    """Return what is wrong with the bundle, empty where nothing is."""
    passed_on = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    passed_on["PYTHONPATH"] = os.pathsep.join(place for place in sys.path if place)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "multiagent.policy.vetting"],
            input=msgspec.json.encode(bundle),
            capture_output=True,
            timeout=_VETTING_S,
            env=passed_on,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"its tests did not end within {_VETTING_S:.0f} s"
    if done.returncode == 0 and done.stdout.endswith(PASSED):
        return ""
    if done.returncode == REFUSED:
        return done.stderr.decode("utf-8", "replace").strip()
    return (
        f"the engine ended with code {done.returncode} on it: {done.stderr.decode('utf-8', 'replace').strip()[-300:]}"
    )


def _verdict_name(bundle: Bundle) -> str:
    """Return a file name that stands for this bundle, this engine and these checks."""
    from importlib.metadata import version

    return digest("multiagent.policy.verdict.v1", [bundle.hash, version("regopy"), _CHECKS, *ENTRIES.values()])


def _private(folder: Path) -> bool:
    """Make the folder where missing; tell whether nobody but this user could have written into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
