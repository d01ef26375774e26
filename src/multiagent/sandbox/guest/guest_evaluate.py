# mypy: ignore-errors
# ruff: noqa: INP001
"""Runs one program and puts what came of it into an envelope.

The value of a program is that of its last expression, as in a notebook, or else of its variable ``result``.
"""

import ast
import builtins
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import gc
import linecache
import math
import os
import random
import sys
import traceback
import types
from json import dumps, loads

import guest_streams

FILE = "main.py"
MAX_MESSAGE = 4_000
MAX_TRACEBACK = 12_000

# Given back when memory is gone, so that the envelope can still be written.
_reserve = [bytearray(2 << 20)]


def run(text: str) -> str:
    """Run the request's program and return ``{"value": …, "error": …}`` as JSON text."""
    value: str | None = None
    error: dict[str, object] | None = None
    try:
        request = loads(text)
        value = _execute(request)
    except SystemExit as stop:
        if stop.code not in (None, 0):
            error = _describe(stop)
    except BaseException as problem:  # noqa: BLE001 - the guest's top: whatever a program raises is its result
        if isinstance(problem, MemoryError):
            _reserve.clear()
        error = _describe(problem)
    guest_streams.flush()
    # A lone surrogate is a legal text in Python and in no other place.
    return dumps({"value": value, "error": error}, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")


def _execute(request: dict[str, object]) -> str | None:
    sys.argv[:] = [FILE]
    random.seed(os.urandom(16))
    if request["folder"]:
        os.chdir(str(request["folder"]))
    code = str(request["code"])
    linecache.cache[FILE] = (len(code), None, code.splitlines(keepends=True), FILE)
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=FILE, __builtins__=builtins, inputs=request["inputs"])
    sys.modules["__main__"] = main
    tree = compile(code, FILE, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, FILE, "exec", dont_inherit=True), main.__dict__)  # noqa: S102 - this is what a sandbox is for
    if last is not None:
        final = compile(ast.Expression(last.value), FILE, "eval", dont_inherit=True)
        value = eval(final, main.__dict__)  # noqa: S307 - as above
    else:
        value = None
    if value is None:
        value = main.__dict__.get("result")
    return None if value is None else _to_json(value)


def _to_json(value: object) -> str:
    try:
        return dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except (ValueError, TypeError):
        return dumps(_clean(value), ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> object:
    """Stand in JSON for what JSON does not have."""
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, fractions.Fraction, os.PathLike)):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "backslashreplace")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "__iter__"):
        return list(value)
    return repr(value)


def _clean(value: object) -> object:
    """Make numbers finite and keys texts, where a program did not."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return _clean(_plain(value))


def _describe(problem: BaseException) -> dict[str, object]:
    try:
        frames = problem.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename != FILE:
            frames = frames.tb_next
        lines = traceback.format_exception(type(problem), problem, frames)
        trace, message = "".join(lines), str(problem)
    except BaseException as second:  # noqa: BLE001 - a hostile __str__, or no memory left to format
        trace, message = "", f"(the error could not be shown: {type(second).__name__})"
    problem.__traceback__ = None
    if isinstance(problem, MemoryError):
        gc.collect()
    errno = getattr(problem, "errno", None)
    if len(trace) > MAX_TRACEBACK:
        trace = trace[: MAX_TRACEBACK // 2] + "\n…\n" + trace[-MAX_TRACEBACK // 2 :]
    return {
        "type": type(problem).__name__,
        "message": message[:MAX_MESSAGE],
        "traceback": trace,
        "errno": errno if isinstance(errno, int) else None,
    }
