"""What every sandbox must do: run programs, contain the hostile ones, and stay fit for the next.

A test class of an adapter inherits from both classes and provides the fixture ``sandbox``.
"""

import json
import os
from pathlib import Path

import pytest

from multiagent.core.errors import (
    InvalidInput,
    PlatformError,
    SandboxDenied,
    SandboxDisk,
    SandboxError,
    SandboxFuel,
    SandboxMemory,
    SandboxOutput,
    SandboxProtocol,
    SandboxStack,
    SandboxTimeout,
)
from multiagent.sandbox.base import Grant, Limits, RunRequest, RunResult, Sandbox

MIB = 1 << 20
QUICK = Limits(timeout_s=0.3)
# Where another limit is to be met first, however busy the machine.
PATIENT_S = 60.0
PROMISED = (
    *("json", "csv", "math", "statistics", "re", "datetime", "collections", "itertools", "functools", "io", "decimal"),
    *("fractions", "random", "string", "textwrap", "hashlib", "zlib", "unicodedata", "heapq", "bisect", "operator"),
    *("dataclasses", "typing", "enum", "base64", "html", "urllib.parse", "zoneinfo", "sqlite3", "tomllib", "asyncio"),
    *("xml.etree.ElementTree", "configparser", "difflib", "graphlib", "calendar", "pprint", "argparse", "optparse"),
)

LOOPS = {
    "an endless loop": "while True: pass",
    "a sleep": "import time; time.sleep(60)",
    "a sleep by the clock's own function": "import importlib, time; importlib.reload(time).sleep(60)",
    "a slow pattern": "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')",
    "one long operation": "10 ** 10 ** 8",
}
MEMORY = {
    "ever more blocks": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "one large block": "bytearray(1 << 30)",
    "a text that doubles": "x = 'a'\nwhile True: x += x",
}
NESTING = {
    "a function without end": "def f(n): return f(n + 1)\nf(0)",
    "a function without end or bound": "import sys\nsys.setrecursionlimit(10 ** 8)\ndef f(n): return f(n + 1)\nf(0)",
    "nested lists": "x = []\nfor _ in range(100_000): x = [x]\nrepr(x)",
    "nested JSON": "import json; json.loads('[' * 100_000)",
}
FLOODS = {
    "lines": "while True: print('x' * 100)",
    "one text": "print('x' * 5_000_000)",
    "errors": "import sys\nwhile True: print('x' * 100, file=sys.stderr)",
    "bytes past Python's own buffers": "import os\nwhile True: os.write(1, bytes(65536))",
    "a value": "'x' * 5_000_000",
    "a value larger than the host will lift": "'x' * 150_000_000",
}
NETWORK = {
    "a socket": "import socket; socket.socket()",
    "a connection": "import socket; socket.create_connection(('127.0.0.1', 80))",
    "a raw socket": "import _socket; _socket.socket()",
    "a name": "import socket; socket.getaddrinfo('localhost', 80)",
    "a raw name": "import _socket; _socket.getaddrinfo('localhost', 80)",
}
PROCESSES = {
    "a command": "import subprocess; subprocess.run(['ls'])",
    "a shell": "import os; os.system('ls')",
    "a pipe": "import os; os.popen('ls')",
    "a fork": "import os; os.fork()",
    "a signal": "import os; os.kill(1, 9)",
    "a thread": "import _thread; _thread.start_new_thread(print, ())",
}
ESCAPES = {
    "parent": "open('/data/../secret').read()",
    "parent of a child": "open('/data/sub/../../secret').read()",
    "symbolic link": "open('/data/link').read()",
    "absolute symbolic link": "open('/data/absolute').read()",
    "symbolic link to a folder": "open('/data/up/secret').read()",
    "listing the parent": "import os; os.listdir('/data/..')",
    "writing": "open('/data/note', 'w').write('x')",
    "appending": "open('/data/note.txt', 'a').write('x')",
    "deleting": "import os; os.remove('/data/note.txt')",
    "renaming": "import os; os.rename('/data/note.txt', '/data/other')",
    "linking": "import os; os.symlink('/etc/passwd', '/out/link')",
    "a link made and followed": "import os; os.symlink('../secret', '/out/l'); open('/out/l').read()",
}
FORGERIES = {
    "nothing": "''",
    "no JSON": "'done'",
    "metrics": '\'{"value": "1", "error": null, "metrics": {"fuel_used": 0}}\'',
    "a status": '\'{"status": "done", "value": "1", "error": null}\'',
    "a value that is no JSON": '\'{"value": "[oops", "error": null}\'',
    "a value nested beyond reason": '\'{"value": "\' + "[" * 100_000 + \'", "error": null}\'',
    "a value of another type": '\'{"value": 1, "error": null}\'',
    "an error of another shape": '\'{"value": null, "error": {"type": 1}}\'',
}


async def value_of(sandbox: Sandbox, code: str, inputs: object = None) -> object:
    """Run a program that must succeed and return its value."""
    result = await sandbox.run(RunRequest(code, inputs=json.dumps(inputs)))
    assert result.error is None, result.error
    value: object = json.loads(result.value)
    return value


async def error_of(sandbox: Sandbox, request: RunRequest) -> PlatformError:
    """Run a program that must hit a limit, check that the sandbox is fit afterwards, and return the error."""
    with pytest.raises(PlatformError) as caught:
        await sandbox.run(request)
    assert await value_of(sandbox, "6 * 7") == 42
    return caught.value


class SandboxPrograms:
    """What programs may rely on."""

    async def test_shows_what_a_program_printed_and_its_last_value(self, sandbox: Sandbox) -> None:
        result = await sandbox.run(
            RunRequest("import sys\nprint('你好')\nprint('oh', file=sys.stderr)\n[1, 2.5, '三']")
        )
        assert (result.stdout, result.stderr, json.loads(result.value)) == ("你好\n", "oh\n", [1, 2.5, "三"])

    async def test_takes_the_variable_result_where_the_last_line_has_no_value(self, sandbox: Sandbox) -> None:
        assert await value_of(sandbox, "result = {'a': 1}\nprint(1)") == {"a": 1}

    async def test_hands_inputs_over(self, sandbox: Sandbox) -> None:
        assert await value_of(sandbox, "inputs['a'] + inputs['b'][0]", {"a": 1, "b": [2]}) == 3

    async def test_lays_files_into_the_working_folder(self, sandbox: Sandbox) -> None:
        code = "import csv; [row['n'] for row in csv.DictReader(open('表.csv', encoding='utf-8-sig'))]"
        result = await sandbox.run(RunRequest(code, files=(("表.csv", "\ufeffn\n1\n2\n".encode()),)))
        assert json.loads(result.value) == ["1", "2"]

    async def test_reads_a_granted_folder_and_writes_a_writable_one(self, sandbox: Sandbox, tmp_path: Path) -> None:
        for name in ("in", "out"):
            (tmp_path / name).mkdir()
        (tmp_path / "in" / "a.txt").write_text("hello", encoding="utf-8")
        grants = (Grant(str(tmp_path / "in"), "/in"), Grant(str(tmp_path / "out"), "/out", writable=True))
        result = await sandbox.run(
            RunRequest("open('/out/b.txt', 'w').write(open('/in/a.txt').read().upper())", grants=grants)
        )
        assert (result.value, (tmp_path / "out" / "b.txt").read_text(encoding="utf-8")) == ("5", "HELLO")

    async def test_reports_a_program_s_exception_as_a_result(self, sandbox: Sandbox) -> None:
        result = await sandbox.run(RunRequest("print('before')\ndef f():\n    return 1 / 0\nf()"))
        assert result.error is not None
        assert (result.error.type, result.stdout) == ("ZeroDivisionError", "before\n")
        assert "line 3, in f" in result.error.traceback
        assert "return 1 / 0" in result.error.traceback

    async def test_reports_a_syntax_error_with_its_line(self, sandbox: Sandbox) -> None:
        result = await sandbox.run(RunRequest("x = 1\ny = (\n"))
        assert result.error is not None
        assert (result.error.type, "line 2" in result.error.traceback) == ("SyntaxError", True)

    async def test_an_exit_is_an_error_only_with_a_status(self, sandbox: Sandbox) -> None:
        calm = await sandbox.run(RunRequest("import sys; print(1); sys.exit()"))
        loud = await sandbox.run(RunRequest("import sys; sys.exit('no data')"))
        assert (calm.error, calm.stdout) == (None, "1\n")
        assert loud.error is not None
        assert (loud.error.type, loud.error.message) == ("SystemExit", "no data")

    async def test_has_the_promised_library(self, sandbox: Sandbox) -> None:
        code = "import importlib\nfor name in inputs: importlib.import_module(name)\nlen(inputs)"
        assert await value_of(sandbox, code, PROMISED) == len(PROMISED)

    async def test_knows_time_zones_and_encodings(self, sandbox: Sandbox) -> None:
        code = """
            import datetime, zoneinfo
            noon = datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo('Asia/Shanghai'))
            result = [noon.astimezone(zoneinfo.ZoneInfo('America/New_York')).hour, '中文'.encode('gb18030').hex(),
                      len(zoneinfo.available_timezones()) > 400, datetime.datetime.strptime('2024', '%Y').year]
        """
        lines = "\n".join(line.strip() for line in code.splitlines())
        assert await value_of(sandbox, lines.replace("hex(),\n", "hex(),")) == [0, "d6d0cec4", True, 2024]

    async def test_puts_odd_values_into_json(self, sandbox: Sandbox) -> None:
        code = """import datetime, decimal
[float('nan'), datetime.date(2024, 1, 2), decimal.Decimal('1.10'), {3, 1}, (1,), {1: 2}, b'x', '\\ud800']"""
        assert await value_of(sandbox, code) == [None, "2024-01-02", "1.10", [1, 3], [1], {"1": 2}, "x", "?"]

    async def test_every_run_starts_afresh(self, sandbox: Sandbox) -> None:
        await sandbox.run(RunRequest("import json, builtins\njson.loads = None\nbuiltins.left = 1\nprint = None"))
        code = "import json, builtins; [json.loads('[1]'), hasattr(builtins, 'left')]"
        assert await value_of(sandbox, code) == [[1], False]

    async def test_chance_differs_from_run_to_run(self, sandbox: Sandbox) -> None:
        code = "import random, secrets, uuid; [random.random(), secrets.token_hex(), str(uuid.uuid4())]"
        assert await value_of(sandbox, code) != await value_of(sandbox, code)

    async def test_clocks_move_on_and_sleep_sleeps(self, sandbox: Sandbox) -> None:
        code = "import time; a = time.monotonic(); time.sleep(0.02); [time.monotonic() - a >= 0.02, time.time() > 1e9]"
        assert await value_of(sandbox, code) == [True, True]

    @pytest.mark.requirement("S.safety.sandbox-metrics")
    async def test_measures_a_run_on_the_host(self, sandbox: Sandbox) -> None:
        small = (await sandbox.run(RunRequest("print('x')"))).metrics
        large = (await sandbox.run(RunRequest("x = bytearray(64 << 20)\nsum(range(10 ** 6))\nprint('xyz')"))).metrics
        assert (small.output_bytes, large.output_bytes) == (2, 4)
        assert 0 < small.fuel_used < large.fuel_used
        assert small.instantiate_ms > 0
        assert small.cpu_ms > 0
        if small.peak_memory_bytes is not None and large.peak_memory_bytes is not None:
            assert large.peak_memory_bytes > 60 * MIB

    @pytest.mark.parametrize(
        "request_",
        [
            RunRequest("1", language="perl"),
            RunRequest("1", inputs="{"),
            RunRequest("1", limits=Limits(timeout_s=0)),
            RunRequest("1", files=(("../x", b""),)),
            RunRequest("1", files=(("x", b""), ("x", b""))),
            RunRequest("1", grants=(Grant("/", "relative"),)),
            RunRequest("1", grants=(Grant("/", "/a/../b"),)),
            RunRequest("1", inputs="1" * (33 * MIB)),
            RunRequest("x = '\ud800'"),
        ],
    )
    async def test_refuses_a_request_that_makes_no_sense(self, sandbox: Sandbox, request_: RunRequest) -> None:
        assert isinstance(await error_of(sandbox, request_), InvalidInput)

    async def test_refuses_to_grant_what_is_no_folder(self, sandbox: Sandbox, tmp_path: Path) -> None:
        missing = RunRequest("1", grants=(Grant(str(tmp_path / "none"), "/a"),))
        assert isinstance(await error_of(sandbox, missing), SandboxDenied)


class SandboxContainment:
    """What hostile programs come up against: each its typed error, and a sandbox that is fit for the next."""

    @pytest.fixture
    def grants(self, tmp_path: Path) -> tuple[Grant, ...]:
        """A read-only and a writable folder, with a secret beside them and links that point at it."""
        (tmp_path / "data" / "sub").mkdir(parents=True)
        (tmp_path / "out").mkdir()
        (tmp_path / "secret").write_text("secret", encoding="utf-8")
        (tmp_path / "data" / "note.txt").write_text("note", encoding="utf-8")
        (tmp_path / "data" / "link").symlink_to("../secret")
        (tmp_path / "data" / "absolute").symlink_to(tmp_path / "secret")
        (tmp_path / "data" / "up").symlink_to("..")
        return (Grant(str(tmp_path / "data"), "/data"), Grant(str(tmp_path / "out"), "/out", writable=True))

    @pytest.mark.requirement("A6", "S.safety.sandbox")
    @pytest.mark.parametrize("code", LOOPS.values(), ids=LOOPS.keys())
    async def test_stops_what_does_not_end(self, sandbox: Sandbox, code: str) -> None:
        error = await error_of(sandbox, RunRequest(f"print('started')\n{code}", limits=QUICK))
        assert isinstance(error, SandboxTimeout)
        # A worker that could not answer in time was killed with what it had.
        assert error.details.get("stdout", "started\n") == "started\n"

    async def test_stops_a_program_that_waits_inside_the_host(self, sandbox: Sandbox, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        request = RunRequest("open('/data/pipe').read()", grants=(Grant(str(tmp_path), "/data"),), limits=QUICK)
        assert isinstance(await error_of(sandbox, request), SandboxTimeout)

    async def test_stops_a_program_that_is_out_of_fuel(self, sandbox: Sandbox) -> None:
        error = await error_of(sandbox, RunRequest("while True: pass", limits=Limits(PATIENT_S, fuel=50_000_000)))
        assert isinstance(error, SandboxFuel)

    @pytest.mark.requirement("A6")
    @pytest.mark.parametrize("code", MEMORY.values(), ids=MEMORY.keys())
    async def test_bounds_memory(self, sandbox: Sandbox, code: str) -> None:
        error = await error_of(sandbox, RunRequest(code, limits=Limits(PATIENT_S, memory_bytes=64 * MIB)))
        assert isinstance(error, SandboxMemory)

    async def test_a_program_may_cope_with_the_memory_it_has(self, sandbox: Sandbox) -> None:
        code = "try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    result = 'coped'"
        assert await value_of(sandbox, code) == "coped"

    @pytest.mark.requirement("A6")
    @pytest.mark.parametrize("code", NESTING.values(), ids=NESTING.keys())
    async def test_bounds_nesting(self, sandbox: Sandbox, code: str) -> None:
        assert isinstance(await error_of(sandbox, RunRequest(code, limits=Limits(PATIENT_S))), SandboxStack)

    @pytest.mark.requirement("A6")
    @pytest.mark.parametrize("code", FLOODS.values(), ids=FLOODS.keys())
    async def test_bounds_output(self, sandbox: Sandbox, code: str) -> None:
        limits = Limits(PATIENT_S, output_bytes=100_000, value_bytes=100_000, memory_bytes=1024 * MIB)
        error = await error_of(sandbox, RunRequest(code, limits=limits))
        assert isinstance(error, SandboxOutput)
        assert len(str(error.details["stdout"])) <= 100_000

    async def test_takes_a_value_up_to_the_limit(self, sandbox: Sandbox) -> None:
        limits = Limits(value_bytes=100_000)
        result = await sandbox.run(RunRequest("'\"' * 49_999", limits=limits))
        assert len(result.value) == 100_000
        assert isinstance(await error_of(sandbox, RunRequest("'\"' * 50_000", limits=limits)), SandboxOutput)

    async def test_keeps_output_up_to_the_limit(self, sandbox: Sandbox) -> None:
        result = await sandbox.run(RunRequest("print('x' * 99_999)", limits=Limits(output_bytes=100_000)))
        assert result.stdout == "x" * 99_999 + "\n"

    @pytest.mark.requirement("A6", "S.safety.sandbox-files")
    @pytest.mark.parametrize("code", ESCAPES.values(), ids=ESCAPES.keys())
    async def test_keeps_a_program_inside_its_folders(
        self, sandbox: Sandbox, code: str, grants: tuple[Grant, ...], tmp_path: Path
    ) -> None:
        error = await error_of(sandbox, RunRequest(code, grants=grants))
        assert isinstance(error, SandboxDenied)
        assert (tmp_path / "data" / "note.txt").read_text(encoding="utf-8") == "note"
        assert not (tmp_path / "data" / "note").exists()

    @pytest.mark.requirement("A6")
    async def test_the_host_s_files_do_not_exist_for_it(self, sandbox: Sandbox, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("secret", encoding="utf-8")
        for path in ("/etc/passwd", str(tmp_path / "secret"), "/proc/self/environ", "../secret", "."):
            result = await sandbox.run(RunRequest(f"open({path!r}).read()"))
            assert result.error is not None
            assert result.error.type in {"FileNotFoundError", "OSError", "IsADirectoryError"}

    @pytest.mark.requirement("A6")
    @pytest.mark.parametrize("code", NETWORK.values(), ids=NETWORK.keys())
    async def test_has_no_network(self, sandbox: Sandbox, code: str) -> None:
        assert isinstance(await error_of(sandbox, RunRequest(code)), SandboxDenied)

    @pytest.mark.requirement("A6")
    @pytest.mark.parametrize("code", PROCESSES.values(), ids=PROCESSES.keys())
    async def test_starts_nothing_else(self, sandbox: Sandbox, code: str) -> None:
        assert isinstance(await error_of(sandbox, RunRequest(code)), SandboxDenied)

    @pytest.mark.requirement("A6")
    async def test_tells_nothing_of_the_host(self, sandbox: Sandbox, environment_secret: str) -> None:
        code = "import os, sys, platform; [dict(os.environ), sys.argv, sys.path, platform.node(), os.getcwd()]"
        told = await value_of(sandbox, code)
        assert told == [{}, ["main.py"], [], "(none)", "/"]
        assert environment_secret not in json.dumps(told)

    @pytest.fixture
    def environment_secret(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """A secret in the host's environment."""
        monkeypatch.setenv("MULTIAGENT_TEST_SECRET", "hunter2")
        return "hunter2"

    @pytest.mark.requirement("A6")
    @pytest.mark.parametrize("envelope", FORGERIES.values(), ids=FORGERIES.keys())
    async def test_throws_a_forged_envelope_away(self, sandbox: Sandbox, envelope: str) -> None:
        code = f"import sys\nsys.modules['guest_evaluate'].dumps = lambda *a, **k: {envelope}"
        assert isinstance(await error_of(sandbox, RunRequest(code)), SandboxProtocol)

    async def test_a_forged_envelope_cannot_change_what_the_host_measured(self, sandbox: Sandbox) -> None:
        forged = '{"value": "1", "error": null}'
        forge = f"guest_evaluate.dumps = lambda *a, **k: {forged!r}"
        code = f"import guest_evaluate\nsum(range(10 ** 6))\nprint('x')\n{forge}"
        result: RunResult = await sandbox.run(RunRequest(code))
        assert (result.value, result.stdout) == ("1", "x\n")
        assert result.metrics.fuel_used > 10**6

    @pytest.mark.parametrize("code", ["import os; os._exit(0)", "import os; os.abort()"])
    async def test_says_when_the_interpreter_ended_without_an_answer(self, sandbox: Sandbox, code: str) -> None:
        error = await error_of(sandbox, RunRequest(f"print('x')\n{code}"))
        assert (type(error), error.details["stdout"]) == (SandboxError, "x\n")

    @pytest.mark.parametrize(
        "code",
        [
            "f = open('/out/f', 'wb')\nwhile True: f.write(bytes(1 << 20))",
            "i = 0\nwhile True:\n    open(f'/out/{i}', 'wb').write(bytes(1 << 20)); i += 1",
            "i = 0\nwhile True:\n    open(f'/out/{i}', 'wb').close(); i += 1",
            "open('/out/f', 'wb').truncate(1 << 40)",
            "for i in range(3): open(f'/out/{i}', 'wb').write(bytes(900_000))",
        ],
    )
    async def test_bounds_what_is_written(self, sandbox: Sandbox, code: str, tmp_path: Path) -> None:
        grants = (Grant(str(tmp_path), "/out", writable=True),)
        error = await error_of(sandbox, RunRequest(code, grants=grants, limits=Limits(PATIENT_S, writable_bytes=MIB)))
        assert isinstance(error, SandboxDisk)
