"""The examples of docs/policy.md and docs/tools.md do what the pages say."""

import re
import shutil
from pathlib import Path
from typing import cast

import pytest

from multiagent.core.principal import Principal
from multiagent.policy.bundle import read_bundle
from multiagent.policy.factory import default_bundle
from multiagent.policy.vetting import check
from multiagent.tools.base import Tool, ToolContext
from multiagent.tools.registry import Registry
from tests.house.tree import ROOT


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_bundle_of_the_policy_page_passes(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(default_bundle(), tmp_path / "bundle"))
    before = check(read_bundle(bundle))
    for block in blocks("policy.md", "rego"):
        name = block.splitlines()[0].removeprefix("# ")
        (bundle / name).write_text(block, encoding="utf-8")
    assert check(read_bundle(bundle)) == before + 2


@pytest.mark.parametrize(
    ("number", "arguments", "content"),
    [(0, b'{"amount": 10, "to": "usd"}', "10.80 usd"), (1, b'{"article": "A1"}', '"count":3')],
)
async def test_the_tools_of_the_tools_page_run(number: int, arguments: bytes, content: str) -> None:
    names: dict[str, object] = {}
    exec(blocks("tools.md", "python")[number], names)
    tool = cast("Tool", names["tool"])
    context = ToolContext(Principal("acme", "ada"), "t1", "s1", (), 1 << 60)
    Registry([tool]).inspect(tool.spec.name, arguments, context)
    assert content in (await tool.execute(arguments, context)).content


@pytest.mark.parametrize("name", ["calculator", "text_processor", "attachments", "python"])
def test_the_tools_page_names_every_built_in_tool(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs/tools.md").read_text(encoding="utf-8")
