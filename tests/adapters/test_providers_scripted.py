"""The fake vendor as a process of its own, as kill tests of the terminal use it."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec

from multiagent.llm.base import StreamEnd
from multiagent.llm.profiles import Profile, Timeouts
from multiagent.llm.providers.http import Connections
from multiagent.llm.providers.openai import OpenAiProvider
from multiagent.testing.scripted_script import Reply, Script, bill, read_ledger
from multiagent.testing.suites.llm import asks
from multiagent.testing.vendor_stub import stub_model


async def test_its_bill_outlives_its_death(tmp_path: Path) -> None:
    """It prints its port, follows its script, and what it has billed is on the disk when it is killed."""
    script, ledger = tmp_path / "script.json", tmp_path / "ledger.jsonl"
    script.write_bytes(msgspec.json.encode(Script(default=Reply(text="Scripted words.", usage="exact"))))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "multiagent.testing.scripted", "--script", str(script), "--ledger", str(ledger)),
        stdout=PIPE,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30), Connections() as connections:
            port = int(await process.stdout.readline())
            url = f"http://127.0.0.1:{port}/v1"
            provider = OpenAiProvider("fake", url, "", connections, Profile(), Timeouts())
            end = [chunk async for chunk in provider.stream(stub_model(), asks())][-1]
    finally:
        process.kill()
        await process.wait()
    assert isinstance(end, StreamEnd)
    assert end.usage is not None
    told = bill(read_ledger(ledger))
    assert (told.calls, told.billed_calls, told.tokens) == (1, 1, end.usage.total)
