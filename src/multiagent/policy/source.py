"""What a Rego file says of itself, read from its tokens: package, tests, and what we refuse before it is compiled.

Pure. This is no parser: the engine parses. It finds what the engine lets pass (v0 rule bodies, zero characters) and
names that reach out of the policy (environment, network, clock, chance), however they are written.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from multiagent.core.errors import PolicyBroken

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)|(?P<comment>\#[^\n]*)|(?P<text>"(?:\\.|[^"\\\n])*"|`[^`]*`)|(?P<name>[^\W\d]\w*)"""
    r"""|(?P<number>\d[\w.]*)|(?P<mark>:=|==|!=|<=|>=|.)""",
    re.DOTALL,
)
_OUTSIDE: Final = ("http", "opa", "rand", "uuid")
_OUTSIDE_NAMES: Final = ("net.lookup_ip_addr", "time.now_ns", "rego.parse_module", "io.jwt.decode_verify")
_VALUE_FOLLOWS: Final = frozenset(
    {":=", "=", "==", "!=", "<", ">", "<=", ">=", "|", "&", "-", ",", "in", "if", "with", "as"}
)


class Token(msgspec.Struct, frozen=True):
    """One token, the line (from 1) it is on, and where it begins in the source."""

    kind: str
    text: str
    line: int
    at: int

    @property
    def end(self) -> int:
        """Where the source goes on after it."""
        return self.at + len(self.text)


class Case(msgspec.Struct, frozen=True):
    """A test rule, and the rule that gives its input (empty: it has none)."""

    rule: str
    input_rule: str = ""


class Module(msgspec.Struct, frozen=True):
    """One file of a bundle, its package (``multiagent.tools``), and the tests in it."""

    name: str
    source: str
    package: str
    tests: tuple[Case, ...] = ()


def read_module(name: str, source: str) -> Module:
    """Return what the file says of itself; PolicyBroken where it may not be part of a bundle."""
    if "\0" in source:
        raise PolicyBroken(f"{name}: holds a zero character; the engine would stop reading there")
    tokens = list(read_tokens(source))
    _refuse_outside(name, tokens)
    _refuse_old_bodies(name, tokens)
    first = [token.text for token in tokens if token.line == tokens[0].line]
    if first[:1] != ["package"]:
        raise PolicyBroken(f"{name}: does not begin with its package")
    return Module(name, source, "".join(first[1:]))


def read_tokens(source: str) -> Iterator[Token]:
    """Yield the tokens, spaces and comments left out."""
    line = 1
    for hit in _TOKEN.finditer(source):
        kind = hit.lastgroup or "mark"
        if kind not in {"space", "comment"}:
            yield Token(kind, hit.group(), line, hit.start())
        line += hit.group().count("\n")


def _refuse_outside(name: str, tokens: list[Token]) -> None:
    """Refuse references out of the policy, dotted (``opa.runtime``) or bracketed (``opa["runtime"]``)."""
    for index, token in enumerate(tokens):
        if token.kind != "name" or (index and tokens[index - 1].text == "."):
            continue
        path = _path(tokens, index)
        if (path[0] in _OUTSIDE and len(path) > 1) or ".".join(path).startswith(_OUTSIDE_NAMES):
            raise PolicyBroken(
                f"{name}:{token.line}: {'.'.join(path)} reaches out of the policy; rules may use their input only"
            )


def _path(tokens: list[Token], index: int) -> list[str]:
    path = [tokens[index].text]
    index += 1
    while index + 1 < len(tokens):
        if tokens[index].text == "." and tokens[index + 1].kind == "name":
            path.append(tokens[index + 1].text)
            index += 2
        elif tokens[index].text == "[":
            path.append(tokens[index + 1].text.strip('"`'))
            index += 3
        else:
            break
    return path


def _refuse_old_bodies(name: str, tokens: list[Token]) -> None:
    """Refuse rule bodies without ``if`` (Rego v0), which the engine would accept and OPA 1 would not."""
    depth = 0
    for index, token in enumerate(tokens):
        if token.text == "{" and depth == 0 and (not index or tokens[index - 1].text not in _VALUE_FOLLOWS):
            raise PolicyBroken(f"{name}:{token.line}: a rule's body needs `if` before it (Rego v1)")
        if token.kind == "mark":
            depth += (token.text in "{[(") - (token.text in "}])")
