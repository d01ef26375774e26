"""Rego on the regopy engine: compiled once, asked often, by one thread.

Known of the engine and guarded against here: without strict mode a failing built-in makes its expression undefined
(and ``not`` of it true); an unknown function fails only when reached; parse errors go to the process's standard
output unless the log is off; texts of an input are taken as JSON's inner form and end at a zero character; one
interpreter serves one thread.
"""

import ctypes
import json
import re
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import regopy
from regopy import rego_shared

from multiagent.core.errors import PolicyBroken, PolicyDenied
from multiagent.policy.source import Module

# fmt: off
PURE_BUILTINS: Final = frozenset(
    {
        "abs", "and", "array.concat", "array.reverse", "array.slice", "assign", "base64.decode",
        "base64.encode", "base64.is_valid", "base64url.decode", "base64url.encode", "bits.and", "bits.lsh",
        "bits.negate", "bits.or", "bits.rsh", "bits.xor", "ceil", "concat", "contains", "count",
        "crypto.sha256", "div", "endswith", "eq", "equal", "floor", "format_int", "glob.match", "gt", "gte",
        "hex.decode", "hex.encode", "indexof", "indexof_n", "internal.member_2", "internal.member_3",
        "intersection", "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string",
        "json.filter", "json.is_valid", "json.marshal", "json.remove", "json.unmarshal", "lower", "lt", "lte",
        "max", "min", "minus", "mul", "neq", "net.cidr_contains", "net.cidr_intersects", "net.cidr_is_valid",
        "numbers.range", "object.filter", "object.get", "object.keys", "object.remove", "object.subset",
        "object.union", "object.union_n", "or", "plus", "product", "regex.find_n", "regex.is_valid",
        "regex.match", "regex.replace", "regex.split", "rem", "replace", "round", "semver.compare",
        "semver.is_valid", "set_diff", "sort", "split", "sprintf", "startswith", "strings.any_prefix_match",
        "strings.any_suffix_match", "strings.count", "strings.replace_n", "strings.reverse", "substring",
        "sum", "time.add_date", "time.clock", "time.date", "time.diff", "time.parse_duration_ns",
        "time.parse_ns", "time.parse_rfc3339_ns", "time.weekday", "to_number", "trim", "trim_left",
        "trim_prefix", "trim_right", "trim_space", "trim_suffix", "type_name", "union", "units.parse",
        "units.parse_bytes", "upper", "walk",
    }
)
# fmt: on
"""The built-in functions a bundle may call: each answers the same to the same, and touches nothing."""


_SPECIAL: Final = re.compile(r'["\\\x00-\x1f]')


class _Named(msgspec.Struct):
    name: str = ""


class _Static(msgspec.Struct):
    builtin_funcs: list[_Named] = []


class _Funcs(msgspec.Struct):
    funcs: list[_Named] = []


class _Plan(msgspec.Struct):
    static: _Static
    funcs: _Funcs


class _Answer(msgspec.Struct):
    expressions: list[msgspec.Raw]


_ANSWER: Final = msgspec.json.Decoder(_Answer)


class _Engine:
    """One interpreter and what it compiled."""

    def __init__(self, modules: Iterable[Module], entries: tuple[str, ...]) -> None:
        interpreter = regopy.Interpreter()
        interpreter.log_level = regopy.LogLevel.NONE
        interpreter.strict_built_in_errors = True
        name = ""
        try:
            for module in modules:
                name = module.name
                interpreter.add_module(module.name, module.source)
            name = "bundle"
            bundle = interpreter.build(None, entries)
        except regopy.RegoError as error:
            raise PolicyBroken(f"{name}: the engine refuses it: {_first_words(str(error))}") from error
        if not bundle.ok():
            raise PolicyBroken("the engine could not compile the bundle")
        self._parts = [(interpreter, bundle)]

    def close(self) -> None:
        """Free it."""
        self._parts.clear()

    def save(self, folder: str) -> None:
        """Write the compiled plan into a folder."""
        interpreter, bundle = self._parts[0]
        interpreter.save_bundle(folder, bundle)

    @contextmanager
    def output(self, document: object, entry: str) -> Iterator[object]:
        """Yield the engine's answer; regopy's own class for it would parse it, loosely, a second time."""
        interpreter, bundle = self._parts[0]
        interpreter.set_input(document)
        output = rego_shared.rego_bundle_query_entrypoint(interpreter._impl, bundle._impl, entry)  # noqa: SLF001 - see above
        try:
            yield output
        finally:
            rego_shared.rego_free_output(output)


class Program:
    """Modules compiled for some entry points (``multiagent/tools/decision``). Belongs to the thread that made it."""

    def __init__(self, modules: Iterable[Module], entries: Iterable[str]) -> None:
        """Compile; PolicyBroken with the engine's words where it refuses."""
        self._thread = threading.get_ident()
        self._entries = tuple(entries)
        self._engine = _Engine(modules, self._entries)
        # What is alive at the end of the process is freed while the engine's library still can be.
        weakref.finalize(self, self._engine.close)

    def ask(self, entry: str, document: object) -> bytes:
        """Return the JSON an entry point gives for an input document.

        Raises PolicyDenied where the answer is undefined, the engine fails, or another thread than the maker's asks.
        """
        if threading.get_ident() != self._thread:
            raise PolicyDenied("a policy engine was asked by a thread that does not own it")
        if entry not in self._entries:
            raise PolicyDenied(f"the bundle has no entry point {entry}")
        try:
            with self._engine.output(escaped(document), entry) as output:
                return self._expression(entry, output)
        except (regopy.RegoError, ValueError, TypeError, msgspec.MsgspecError, ctypes.ArgumentError) as error:
            raise PolicyDenied(f"the policy engine failed at {entry}: {_first_words(str(error))}") from error

    @staticmethod
    def _expression(entry: str, output: object) -> bytes:
        if not rego_shared.rego_output_ok(output):
            raise PolicyDenied(f"the policy engine failed at {entry}")
        text = rego_shared.rego_output_string(output)
        if text == "undefined":
            raise PolicyDenied(f"the policy is undefined at {entry}")
        answer = _ANSWER.decode(text)
        if len(answer.expressions) != 1:
            raise PolicyDenied(f"the policy gave {len(answer.expressions)} answers at {entry}")
        return bytes(answer.expressions[0])

    def refuse_unknown_calls(self) -> None:
        """PolicyBroken where the compiled plan calls a function that is not of the bundle and not a pure built-in."""
        with tempfile.TemporaryDirectory(prefix="multiagent-policy-") as folder:
            self._engine.save(folder)
            plan = (Path(folder) / "plan.json").read_bytes()
        known = msgspec.json.decode(plan, type=_Plan)
        called = set(_called(msgspec.json.decode(plan)))
        called |= {function.name for function in known.static.builtin_funcs}
        wrong = sorted(called - {function.name for function in known.funcs.funcs} - PURE_BUILTINS)
        if wrong:
            raise PolicyBroken(
                f"the bundle calls {', '.join(wrong)}: not a function of it, nor a built-in that is allowed"
            )


def escaped(value: object) -> object:
    """Return a document with its texts escaped as in JSON.

    The engine keeps texts as JSON writes them, takes an input's as they are, and prints them as they are: unescaped,
    a quote in a name would end the text in the answer and could add ``"allow": true`` behind it.
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)[1:-1] if _SPECIAL.search(value) else value
    if isinstance(value, dict):
        return {key: escaped(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(one) for one in value]
    return value


def _called(value: object) -> Iterator[str]:
    """Yield the name of every function that a plan calls."""
    if isinstance(value, dict):
        name = value.get("func")
        if isinstance(name, str):
            yield name
        for one in value.values():
            yield from _called(one)
    elif isinstance(value, list):
        for one in value:
            yield from _called(one)


def _first_words(error: str) -> str:
    """Return the engine's own message out of its printed tree."""
    _, found, rest = error.partition("(errormsg ")
    message = rest.partition(")")[0].partition(":")[2] if found else error
    place = error.partition("(error ")[2].split("\n", 1)[0] if found else ""
    return " ".join(f"{message} ({place.partition(':')[2]})".split()) if place else " ".join(message.split())[:300]
