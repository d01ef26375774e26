"""Replays recorded runs: ``python -m multiagent.testing.replayer FOLDER``, in a process of its own.

A recording names the module that holds its workflow, so that the process imports what the run imported. Prints one
JSON line: how many were replayed, and what drifted.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import msgspec

from multiagent.core.errors import PlatformError
from multiagent.engines.base import Workflow
from multiagent.engines.recording import Recording, check


class Verdict(msgspec.Struct, frozen=True):
    """How many recordings were replayed as they were, and one line for each that was not."""

    replayed: int
    drifted: tuple[str, ...]


def find(module: str, name: str) -> Workflow[Any, Any]:
    """Return the workflow of that name in a module; LookupError where there is none."""
    for value in vars(importlib.import_module(module)).values():
        candidates = value if isinstance(value, tuple | list) else (value,)
        for candidate in candidates:
            if isinstance(candidate, Workflow) and candidate.name == name:
                return candidate
    raise LookupError(f"no workflow {name!r} in {module}")


def replay_one(recording: Recording) -> str:
    """Replay one; return why it drifted, or the empty text."""
    try:
        check(recording, find(recording.module, recording.workflow))
    except (PlatformError, LookupError) as error:
        return f"{recording.workflow} {recording.start.task}: {getattr(error, 'code', 'LOOKUP')}: {error}"
    return ""


def replay_folder(folder: Path) -> Verdict:
    """Replay every recording in a folder."""
    decode = msgspec.json.Decoder(Recording).decode
    reasons = [replay_one(decode(path.read_bytes())) for path in sorted(folder.glob("*.json"))]
    drifted = tuple(reason for reason in reasons if reason)
    return Verdict(len(reasons) - len(drifted), drifted)


def main() -> None:
    """Replay the folder named by the first argument."""
    verdict = replay_folder(Path(sys.argv[1]))
    sys.stdout.write(msgspec.json.encode(verdict).decode() + "\n")


if __name__ == "__main__":
    main()
