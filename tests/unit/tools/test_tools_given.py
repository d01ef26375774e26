"""The files a tool is given, and what is left of them."""

from pathlib import Path

import pytest

from multiagent.core.errors import ToolArguments
from multiagent.core.principal import Principal
from multiagent.core.task import Attachment
from multiagent.storage.objects.local import LocalObjects
from multiagent.tools.base import ToolContext
from multiagent.tools.builtin.given import attachment, attachments, clear_scratch, laid_out

A, B = Attachment("a.csv", "text/csv", 1, "aa"), Attachment("b c.txt", "text/plain", 1, "bb")
CONTEXT = ToolContext(Principal("acme", "ada"), "t1", "s1", (A, B), 1 << 60)


def test_attachments_are_found_by_name_each_once_and_others_are_not() -> None:
    assert attachment(CONTEXT, "a.csv") == A
    assert attachment(CONTEXT, "/data/b c.txt") == B
    assert attachments(CONTEXT, ["b c.txt", "a.csv", "/data/a.csv"]) == (B, A)
    for wrong in ("A.CSV", "../a.csv", "", "/etc/passwd"):
        with pytest.raises(ToolArguments, match=r"a\.csv, b c\.txt"):
            attachment(CONTEXT, wrong)


@pytest.mark.parametrize("link", [True, False])
async def test_files_are_laid_out_under_their_names_and_cleared_away(
    tmp_path: Path, link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = LocalObjects(tmp_path / "objects")
    address = await objects.put("acme", b"data")
    if not link:
        monkeypatch.setattr("os.link", _refuses)
    given = tuple(Attachment(name, "text/plain", 4, address) for name in ("a.txt", "表 b.csv"))
    scratch = tmp_path / "scratch"
    clear_scratch(str(scratch))
    async with laid_out(objects, "acme", given, str(scratch)) as folder:
        assert {path.name: path.read_bytes() for path in Path(folder).iterdir()} == {
            "a.txt": b"data",
            "表 b.csv": b"data",
        }
        assert Path(folder).stat().st_mode & 0o077 == 0
    assert list(scratch.iterdir()) == []
    assert await objects.get("acme", address) == b"data"


def _refuses(*_: object) -> None:
    raise OSError("another file system")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\0b"])
async def test_a_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ToolArguments, match="plain file name"):
        async with laid_out(LocalObjects(tmp_path), "acme", (Attachment(name, "text/plain", 1, "aa"),)):
            pass


def test_what_a_killed_process_left_is_cleared_and_the_rest_kept(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    clear_scratch(str(scratch))
    (scratch / "multiagent-data-left").mkdir()
    (scratch / "multiagent-data-left" / "a.txt").write_text("x")
    (scratch / "other").mkdir()
    clear_scratch(str(scratch))
    assert [path.name for path in scratch.iterdir()] == ["other"]
