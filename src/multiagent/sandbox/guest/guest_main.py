# mypy: ignore-errors
# ruff: noqa: INP001
"""The component's one export, and what happens once at build: everything imported here is part of the image.

This code runs in the guest's CPython, not in the platform's. Nothing it says is believed by the host.
"""

import gc
import sys
import time

import guest_archive
import guest_evaluate
import guest_shims
import guest_streams
import wit_world
from wit_world.imports import host


class WitWorld(wit_world.WitWorld):
    """The world of ``sandbox.wit``."""

    def run(self, request: str) -> str:
        """Run one program and return its envelope, both as JSON text."""
        return guest_evaluate.run(request)


def _sleep(seconds: float) -> None:
    nanoseconds = int(seconds * 1e9)
    if nanoseconds < 0:
        raise ValueError("sleep length must be non-negative")
    host.sleep(min(nanoseconds, 2**63))


def _freeze() -> None:
    """Make the image what a fresh program expects to find: warm modules, no build folders, no garbage."""
    guest_archive.install()
    guest_archive.warm()
    guest_shims.install()
    # One program is run at build, so that what the interpreter makes on first use is in the image.
    guest_streams.install()
    guest_evaluate.run('{"code": "print(1)\\n[n for n in inputs]", "inputs": [1], "folder": null}')
    guest_evaluate.run('{"code": "1 / 0", "inputs": null, "folder": null}')
    guest_streams.install()
    time.sleep = _sleep
    sys.path[:] = []
    sys.path_importer_cache.clear()
    sys.dont_write_bytecode = True
    gc.collect()
    gc.freeze()


_freeze()
