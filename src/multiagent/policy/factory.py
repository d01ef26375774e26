"""Assembly: which adapter decides."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import as_file, files
from pathlib import Path

from multiagent.core.errors import PolicyBroken
from multiagent.policy.base import OpaServer, Policy


def default_bundle() -> Path:
    """Return the folder of the bundle that ships with the package (in a checkout: ``policies/``)."""
    packaged = files("multiagent").joinpath("policies")
    if packaged.is_dir():
        with as_file(packaged) as folder:
            return folder
    checkout = Path(__file__).resolve().parents[3] / "policies"
    if checkout.is_dir():
        return checkout
    raise PolicyBroken("the default policy bundle is missing from this installation; reinstall multiagent")


def bundle_version(directory: Path | None = None) -> str:
    """Return the hash of the bundle in ``directory`` (default: the shipped one) without opening it; PolicyBroken where
    it cannot be read.
    """
    from multiagent.policy.bundle import read_bundle

    return read_bundle(directory or default_bundle()).hash


def open_policy(directory: Path | None = None, *, verdicts: Path | None = None) -> Policy:
    """Return a policy that decides by the bundle in ``directory`` (default: the shipped one).

    ``verdicts`` is a cache folder, below which it is kept which bundles passed their tests. Call it in the
    thread that will ask. Raises PolicyBroken where the bundle may not decide.
    """
    from multiagent.policy.decide import RegoPolicy

    return RegoPolicy(directory or default_bundle(), verdicts)


@asynccontextmanager
async def open_deciding(server: OpaServer, directory: Path | None = None, *, verdicts: Path) -> AsyncIterator[Policy]:
    """Open the policy that decides: on the OPA server where one is named, else in this process (``open_policy``).

    Raises PolicyBroken where the bundle may not decide, or the server is away or runs another.
    """
    if not server.url:
        yield open_policy(directory, verdicts=verdicts)
        return
    from multiagent.policy.remote import open_remote

    async with open_remote(server, directory or default_bundle(), verdicts) as policy:
        yield policy
