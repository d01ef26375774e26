"""What holds for every test: no network, no real key, a data folder of its own, warnings and hash seeds as set."""

import os
import re
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.guard import sitecustomize

GUARD = Path(__file__).parent
SECRET = re.compile(r"(_API_KEY|_ACCESS_KEY|_SECRET|_TOKEN|_PASSWORD|_CREDENTIALS|_BASE_URL)$|^(AWS|AZURE|GOOGLE)_")
KEPT = {"MULTIAGENT_CACHE", "MULTIAGENT_SEED"}
"""Where built sandbox runtimes lie: shared by all tests, since a build takes a minute and is keyed by its content."""

_homes = count()


def scrub(environment: dict[str, str]) -> list[str]:
    """The names in `environment` that would let a test reach a real account or a user's own data."""
    return [
        name
        for name in environment
        if SECRET.search(name) or (name.startswith("MULTIAGENT_") and name not in KEPT) or name == "PYTHONPATH"
    ]


def pytest_configure(config: pytest.Config) -> None:
    """Cut this process, and those it starts, off from the outside."""
    for name in scrub(dict(os.environ)):
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPATH"] = str(GUARD)
    base = Path(tempfile.mkdtemp(prefix="multiagent-tests-"))
    config.stash[_BASE] = base
    os.environ[sitecustomize.TRESPASSES] = str(base / "trespasses")
    settings.register_profile(
        "house", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.register_profile("explore", parent=settings.get_profile("house"), derandomize=False, max_examples=1000)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Drop the folder, unless a test's data is still in it for a look."""
    base = config.stash.get(_BASE, None)
    if base is not None:
        import shutil

        shutil.rmtree(base, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give each test a data folder that no other test has; it is made by whoever first needs it."""
    os.environ["MULTIAGENT_HOME"] = str(item.config.stash[_BASE] / f"home-{next(_homes)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail the test that tried to leave this machine, even if the code under test swallowed the refusal."""
    yield
    log = item.config.stash[_BASE] / "trespasses"
    if not log.exists():
        return
    said = log.read_text(encoding="utf-8")
    log.unlink()
    if "tests/guard" not in item.nodeid:
        pytest.fail(f"tried to reach outside this machine:\n{said}", pytrace=False)


_BASE = pytest.StashKey[Path]()
