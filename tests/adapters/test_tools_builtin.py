"""The tool suite over every built-in tool, and what is each one's own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from multiagent.core.errors import AttachmentRejected, SandboxMemory, ToolArguments, ToolTimeout
from multiagent.core.principal import Principal
from multiagent.core.task import Attachment
from multiagent.sandbox.base import MIB, Limits, Sandbox
from multiagent.sandbox.factory import open_sandbox
from multiagent.storage.objects.base import Objects
from multiagent.storage.objects.local import LocalObjects
from multiagent.testing.suites.tool import Cases, ToolSuite
from multiagent.tools.base import Tool, ToolContext, ToolOutput
from multiagent.tools.builtin.attachments import AttachmentsTool
from multiagent.tools.builtin.calculator import calculator_tool
from multiagent.tools.builtin.pdf import pdf_text
from multiagent.tools.builtin.python import PythonTool
from multiagent.tools.builtin.reading import AttachmentReader, inspect_attachment
from multiagent.tools.builtin.text_processor import TextProcessor

pytest_plugins = ["multiagent.testing.sandbox_fixture"]

TENANT = "acme"
CSV = b"region,amount\nnorth,10\nsouth,20\nnorth,5\n"
CHINESE = "港口主要出口粮食。粮食出口增长了百分之十二！\n天气很好。\n"


def pdf_saying(text: str) -> bytes:
    """Return a PDF of one page, made by hand: a font, and one line of text."""
    stream = f"BT /F1 24 Tf 40 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources <</Font <</F1 5 0 R>> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return body + table + b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(body)


FILES = {
    "sales.csv": CSV,
    "note.md": b"# Title\n\nThe harbour exports grain.\n",
    "gb.txt": CHINESE.encode("gb18030"),
    "wide.txt": "première ligne\r\nseconde ligne\r\n".encode("utf-16"),
    "data.json": b'{"a": [1, 2]}',
    "report.pdf": pdf_saying("Revenue was 42 million"),
    "image.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(60),
    "broken.pdf": b"%PDF-1.7\nnothing of the sort",
    "empty.txt": b"",
}


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return LocalObjects(tmp_path / "objects")


@pytest.fixture
async def context(objects: Objects) -> ToolContext:
    attached = [
        Attachment(
            name, "application/octet-stream", len(data), await objects.put(TENANT, data), ("private", "untrusted")
        )
        for name, data in FILES.items()
    ]
    return ToolContext(Principal(TENANT, "ada"), "t1", "a1/act/1/run", tuple(attached), 1 << 60)


@pytest.fixture
async def sandbox(sandbox_cache: Path) -> AsyncIterator[Sandbox]:
    async with open_sandbox(sandbox_cache, size=1) as opened:
        yield opened


class TestCalculator(ToolSuite):
    @pytest.fixture
    def tool(self) -> Tool:
        return calculator_tool()

    @pytest.fixture
    def cases(self) -> Cases:
        return Cases({'{"expression": "2 * (3 + 4)"}': "14"})


class TestAttachments(ToolSuite):
    @pytest.fixture
    def tool(self, objects: Objects) -> Tool:
        return AttachmentsTool(AttachmentReader(objects))

    @pytest.fixture
    def cases(self) -> Cases:
        good = {
            '{"action": "list"}': "sales.csv: table, application/octet-stream, 40 bytes, 4 lines, UTF-8",
            '{"action": "read", "name": "sales.csv"}': "table, UTF-8, lines 1-4 of 4]\nregion,amount\nnorth",
            '{"action": "read", "name": "/data/sales.csv", "offset": 1, "limit": 2}': "offset 3]\nnorth,10\nsouth,20",
            '{"action": "read", "name": "gb.txt"}': "GB18030 (a guess), lines 1-2 of 2]\n港口主要",
            '{"action": "read", "name": "wide.txt"}': "UTF-16, lines 1-2 of 2]\npremière ligne\nseconde ligne",
            '{"action": "read", "name": "report.pdf"}': "--- page 1 of 1 ---\nRevenue was 42 million",
            '{"action": "read", "name": "empty.txt"}': "0 lines; nothing after line 0",
            '{"action": "read", "name": "sales.csv", "offset": 9}': "nothing after line 9",
            '{"action": "search", "query": "NORTH"}': "[2 lines match 'NORTH'; 2 shown]\nsales.csv:2: north,10\nsales",
            '{"action": "search", "query": "north", "offset": 1}': "1 shown]\nsales.csv:4: north,5",
            '{"action": "search", "query": "million revenue", "name": "report.pdf"}': "report.pdf:2: Revenue was 42",
            '{"action": "search", "query": "粮食"}': "gb.txt:1: 港口主要出口粮食",
        }
        bad = (
            "{}",
            '{"action": "delete"}',
            '{"action": "read"}',
            '{"action": "search"}',
            '{"action": "read", "name": "other.csv"}',
            '{"action": "read", "name": "../sales.csv"}',
            '{"action": "read", "name": "sales.csv", "offset": -1}',
            '{"action": "read", "name": 5}',
        )
        return Cases(good, bad)

    async def test_what_is_not_text_is_refused_with_what_would_do(self, tool: Tool, context: ToolContext) -> None:
        for name in ("image.png", "broken.pdf"):
            with pytest.raises(ToolArguments, match=name):
                await tool.execute(b'{"action": "read", "name": "%s"}' % name.encode(), context)
        listed = await tool.execute(b'{"action": "list"}', context)
        assert "image.png: binary" in listed.content

    async def test_a_long_file_is_read_in_parts_and_a_long_line_in_pieces(self, objects: Objects, tool: Tool) -> None:
        data = "".join(f"row {number}\n" for number in range(100_000)).encode() + b"x" * 200_000
        attached = Attachment("long.txt", "text/plain", len(data), await objects.put(TENANT, data))
        context = ToolContext(Principal(TENANT, "ada"), "t1", "s", (attached,), 1 << 60)
        output = await tool.execute(b'{"action": "read", "name": "long.txt", "offset": 99999, "limit": 1}', context)
        assert output.content.endswith("more from offset 100000]\nrow 99999")
        tail = await tool.execute(b'{"action": "read", "name": "long.txt", "offset": 100000}', context)
        assert 60_000 < len(tail.content) < 70_000


class TestPython(ToolSuite):
    @pytest.fixture
    def tool(self, objects: Objects, sandbox: Sandbox, tmp_path: Path) -> Tool:
        (tmp_path / "scratch").mkdir()
        return PythonTool(objects, sandbox, Limits(timeout_s=10.0), str(tmp_path / "scratch"))

    @pytest.fixture
    def cases(self) -> Cases:
        good = {
            '{"code": "print(sum(range(10)))"}': "45",
            '{"code": "[1, 2]"}': "[1, 2]",
            '{"code": "x = 1"}': "printed nothing",
            '{"code": "print(open(\'/data/sales.csv\').read())", "files": ["sales.csv"]}': "north,10",
            '{"code": "import csv\\nrows = list(csv.DictReader(open(\'/data/sales.csv\')))\\n'
            'print(sum(int(row[\'amount\']) for row in rows))", "files": ["sales.csv", "note.md"]}': "35",
        }
        bad = ("{}", '{"code": ""}', '{"code": 1}', '{"code": "1", "files": "a"}', '{"code": "1", "files": ["no.csv"]}')
        return Cases(good, bad)

    @staticmethod
    async def run(tool: Tool, context: ToolContext, code: str, *files: str) -> ToolOutput:
        return await tool.execute(msgspec.json.encode({"code": code, "files": list(files)}), context)

    async def test_an_exception_is_an_answer_with_the_end_of_its_traceback(
        self, tool: Tool, context: ToolContext
    ) -> None:
        output = await self.run(tool, context, "print('before')\n1 / 0")
        assert output.is_error
        assert output.content.startswith("before\nError: ZeroDivisionError: division by zero\n")
        assert "line 2" in output.content

    async def test_a_file_that_was_not_asked_for_is_not_there_and_the_answer_says_how_to(
        self, tool: Tool, context: ToolContext
    ) -> None:
        output = await self.run(tool, context, "open('/data/sales.csv')", "note.md")
        assert output.is_error
        assert "FileNotFoundError" in output.content
        assert "sales.csv" in output.content.splitlines()[-1]

    async def test_files_cannot_be_changed_and_nothing_is_left_behind(
        self, tool: Tool, context: ToolContext, objects: Objects, tmp_path: Path
    ) -> None:
        code = "try:\n    open('/data/sales.csv', 'w')\nexcept OSError:\n    print('refused')"
        assert (await self.run(tool, context, code, "sales.csv")).content == "refused"
        assert await objects.get(TENANT, context.attachments[0].object) == CSV
        assert list((tmp_path / "scratch").iterdir()) == []

    async def test_sources_labels_and_measures_are_told(self, tool: Tool, context: ToolContext) -> None:
        output = await self.run(tool, context, "print(1)", "sales.csv")
        assert output.sources == ("sales.csv",)
        assert output.labels == ("private", "untrusted")
        assert output.metrics["fuel_used"] > 0
        assert (await self.run(tool, context, "print(1)")).labels == ()

    async def test_a_limit_is_its_own_error(self, objects: Objects, sandbox: Sandbox, context: ToolContext) -> None:
        tool = PythonTool(objects, sandbox, Limits(memory_bytes=64 * MIB))
        with pytest.raises(SandboxMemory):
            await self.run(tool, context, "x = bytearray(1 << 30)")


class TestTextProcessor(ToolSuite):
    @pytest.fixture
    def tool(self, objects: Objects) -> Tool:
        return TextProcessor(AttachmentReader(objects))

    @pytest.fixture
    def cases(self) -> Cases:
        good = {
            '{"operation": "summary", "text": "One thing. Another thing.", "limit": 1}': "- One thing.",
            '{"operation": "keywords", "name": "gb.txt", "limit": 1}': "出口: 2",
            '{"operation": "count", "name": "note.md"}': "english_words: 5",
            '{"operation": "structure", "name": "note.md"}': "Title (line 1)",
            '{"operation": "summary", "name": "report.pdf"}': "Revenue was 42 million",
        }
        bad = (
            "{}",
            '{"operation": "translate", "text": "a"}',
            '{"operation": "count"}',
            '{"operation": "count", "text": "a", "name": "note.md"}',
            '{"operation": "count", "name": "other.md"}',
            '{"operation": "summary", "text": "a", "limit": 1000}',
        )
        return Cases(good, bad)


async def test_an_inspection_tells_kind_lines_and_beginning(objects: Objects, context: ToolContext) -> None:
    found = {one.name: await inspect_attachment(objects, TENANT, one) for one in context.attachments}
    assert {name: what.kind for name, what in found.items()} == {
        "sales.csv": "table",
        "note.md": "text",
        "gb.txt": "text",
        "wide.txt": "text",
        "data.json": "json",
        "report.pdf": "pdf",
        "image.png": "binary",
        "broken.pdf": "binary",
        "empty.txt": "text",
    }
    assert found["sales.csv"].lines == 4
    assert found["sales.csv"].head == CSV.decode()
    assert found["gb.txt"].head.startswith("港口主要出口粮食")
    assert found["report.pdf"].head.startswith("--- page 1 of 1 ---\nRevenue was 42 million")


async def test_a_pdf_parser_that_hangs_is_killed_at_its_deadline(
    objects: Objects, context: ToolContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = tmp_path / "stuck"
    stuck.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    stuck.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stuck))
    report = next(one for one in context.attachments if one.name == "report.pdf")
    with pytest.raises(ToolTimeout, match=r"report\.pdf"):
        await pdf_text(objects, TENANT, report, deadline_s=0.5)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_pdf_parser_that_dies_is_an_error_of_the_file(
    objects: Objects, context: ToolContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = tmp_path / "dying"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    report = next(one for one in context.attachments if one.name == "report.pdf")
    with pytest.raises(AttachmentRejected, match="parser failed"):
        await pdf_text(objects, TENANT, report)


async def test_cancelling_a_reader_ends_its_pdf_parser(
    objects: Objects, context: ToolContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = tmp_path / "stuck"
    stuck.write_text("#!/bin/sh\nexec sleep 600\n")
    stuck.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stuck))
    report = next(one for one in context.attachments if one.name == "report.pdf")
    reading = asyncio.ensure_future(pdf_text(objects, TENANT, report))
    await asyncio.wait((reading,), timeout=0.3)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
