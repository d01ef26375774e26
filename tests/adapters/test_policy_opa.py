"""The default bundle on OPA itself: the same tests pass there, and the same questions get the same answers."""

import subprocess
from pathlib import Path

import msgspec
import pytest

from multiagent.policy.answers import read_decision
from multiagent.policy.factory import default_bundle, open_policy
from multiagent.policy.facts import ENTRIES, document
from multiagent.testing.servers.opa import program
from multiagent.testing.suites.policy import SEED
from tests.servers import absent

OPA = program()


@pytest.fixture(autouse=True)
def _server() -> None:
    """OPA itself: missing, it is a skip at a desk and an error in CI."""
    if OPA is None:
        absent("no opa here: run `make servers`, which needs Go, or put one on PATH")


def opa(*arguments: str, given: bytes = b"") -> bytes:
    """Run OPA; its complaints are the test's failure."""
    assert OPA is not None
    done = subprocess.run([OPA, *arguments], input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout


def test_the_bundle_is_strict_rego_v1_and_passes_its_tests_on_opa() -> None:
    opa("check", "--strict", str(default_bundle()))
    assert b"FAIL" not in opa("test", str(default_bundle()))


async def test_both_engines_decide_alike(tmp_path: Path) -> None:
    policy = open_policy(verdicts=tmp_path)
    for ask, _ in SEED.values():
        query = "data." + ENTRIES[type(ask)].replace("/", ".")
        given = msgspec.json.encode(document(ask))
        answer = opa("eval", "--format=raw", "--stdin-input", "--data", str(default_bundle()), query, given=given)
        theirs, ours = read_decision(answer), await policy.decide(ask)
        assert (theirs.allow, set(theirs.reasons), theirs.obligations) == (
            ours.allow,
            set(ours.reasons),
            ours.obligations,
        )
