"""The sandbox for tests: its runtime is built once a machine, under a file lock, and shared by all tests.

``tests`` load this module as a plugin, or import ``built_runtime`` where they start the real CLI.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiagent.sandbox.factory import default_cache_dir, ensure_built


def built_runtime() -> Path:
    """Return the cache folder that holds the built runtime (``MULTIAGENT_CACHE``, or the user's cache folder)."""
    folder = default_cache_dir(os.environ)
    ensure_built(folder, lambda _stage, _fraction: None)
    return folder


@pytest.fixture(scope="session")
def sandbox_cache() -> Iterator[Path]:
    """The cache folder with the runtime, built if this machine has none; MULTIAGENT_CACHE names it to children."""
    folder = built_runtime()
    before = os.environ.get("MULTIAGENT_CACHE")
    os.environ["MULTIAGENT_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["MULTIAGENT_CACHE"]
    else:
        os.environ["MULTIAGENT_CACHE"] = before
