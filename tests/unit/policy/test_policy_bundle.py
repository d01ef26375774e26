"""Bundles: what a folder holds, and whose word is believed that it was tested."""

import shutil
from pathlib import Path

import pytest

from multiagent.core.errors import PolicyBroken
from multiagent.policy import bundle as bundles
from multiagent.policy.bundle import Bundle, read_bundle, vet
from multiagent.policy.factory import default_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle(), tmp_path / "bundle"))


def test_the_hash_covers_every_byte_and_every_name(folder: Path) -> None:
    first = read_bundle(folder).hash
    assert read_bundle(default_bundle()).hash == first
    (folder / "tools_test.rego").write_text((folder / "tools_test.rego").read_text() + "\n")
    second = read_bundle(folder).hash
    (folder / "tools.rego").rename(folder / "renamed.rego")
    assert len({first, second, read_bundle(folder).hash}) == 3


def test_a_folder_that_is_no_bundle_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "binary.rego").write_bytes(b"\xff\xfe")
    for wrong in (folder, tmp_path / "nothing"):
        with pytest.raises(PolicyBroken):
            read_bundle(wrong)


class Apart:
    """Counts how often a bundle is vetted."""

    def __init__(self, answer: str = "") -> None:
        self.answer = answer
        self.count = 0

    def __call__(self, bundle: Bundle) -> str:
        self.count += 1
        return self.answer


def test_a_verdict_is_kept_and_believed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apart = Apart()
    monkeypatch.setattr(bundles, "_vet_apart", apart)
    bundle = read_bundle(default_bundle())
    vet(bundle, tmp_path)
    vet(bundle, tmp_path)
    assert apart.count == 1
    vet(bundle)
    assert apart.count == 2


def test_a_verdict_in_a_folder_others_may_write_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = Apart()
    monkeypatch.setattr(bundles, "_vet_apart", apart)
    bundle = read_bundle(default_bundle())
    vet(bundle, tmp_path)
    (tmp_path / "policy-verdicts").chmod(0o777)
    vet(bundle, tmp_path)
    assert apart.count == 2
    (tmp_path / "policy-verdicts").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o700)
    (tmp_path / "policy-verdicts").symlink_to(tmp_path / "elsewhere")
    vet(bundle, tmp_path)
    assert apart.count == 3


def test_no_verdict_is_kept_of_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apart = Apart("its tests fail")
    monkeypatch.setattr(bundles, "_vet_apart", apart)
    bundle = read_bundle(default_bundle())
    for _ in range(2):
        with pytest.raises(PolicyBroken, match="its tests fail"):
            vet(bundle, tmp_path)
    assert apart.count == 2


@pytest.mark.requirement("A7.bundle")
def test_a_bundle_that_takes_the_engine_down_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vetting process may be killed; the process that asks for it lives on and refuses."""
    import sys

    killer = folder / "killer"
    killer.write_text("#!/bin/sh\nkill -ABRT $$\n")
    killer.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killer))
    with pytest.raises(PolicyBroken, match="ended with code -6"):
        vet(read_bundle(folder))
