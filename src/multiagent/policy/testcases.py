"""Tests of a bundle in OPA's form, made ready for an engine whose ``with`` cannot be trusted.

regopy (1.0 to 1.5.2) aborts or answers at random where ``with`` meets rules that use rules. So ``with input as X`` is
taken out of a test, X becomes a rule of its own, and the test is asked with X as its real input. Every test has one
input; ``with`` stands nowhere else. Such files are legal tests for OPA as well. Pure.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from multiagent.core.errors import PolicyBroken
from multiagent.policy.source import Case, Module, Token, read_tokens

_PREFIX: Final = "test_"
_INPUT: Final = "input_of_"


def prepare(module: Module) -> Module:
    """Return the module with its tests found and their inputs taken out; PolicyBroken where one has two."""
    tokens = list(read_tokens(module.source))
    tests: list[Case] = []
    added: list[str] = []
    cuts: list[tuple[int, int]] = []
    seen: set[str] = set()
    for rule, body in _rules(tokens):
        inputs = list(_inputs(module, body))
        texts = {module.source[value[0].at : value[-1].end] for _, value in inputs}
        if not rule.startswith(_PREFIX):
            continue
        if rule in seen or len(texts) > 1:
            raise PolicyBroken(f"{module.name}: {rule} has more than one input or body; write a test for each")
        seen.add(rule)
        cuts.extend((first.at, value[-1].end) for first, value in inputs)
        tests.append(Case(rule, _INPUT + rule if texts else ""))
        added.extend(f"{_INPUT}{rule} := {text}\n" for text in texts)
    source = _without(module.source, cuts)
    left = next((token for token in read_tokens(source) if token.text == "with"), None)
    if left is not None:
        raise PolicyBroken(f"{module.name}:{left.line}: `with` may stand in tests only, and only as `with input as …`")
    return msgspec.structs.replace(module, source=source + "\n" + "".join(added), tests=tuple(tests))


def _rules(tokens: list[Token]) -> Iterator[tuple[str, list[Token]]]:
    """Yield each rule: the name it begins with and all its tokens."""
    depth = 0
    rule: list[Token] = []
    for token in tokens:
        if rule and token.line != rule[-1].line and depth == 0 and token.text != "with":
            yield rule[0].text, rule
            rule = []
        rule.append(token)
        depth += (token.text in {"{", "[", "("}) - (token.text in {"}", "]", ")"})
    if rule:
        yield rule[0].text, rule


def _inputs(module: Module, body: list[Token]) -> Iterator[tuple[Token, list[Token]]]:
    """Yield the ``with`` of each ``with input as X``, and the tokens of X."""
    for index, token in enumerate(body):
        if [one.text for one in body[index : index + 3]] == ["with", "input", "as"]:
            value = list(_value(body[index + 3 :]))
            if not value:
                raise PolicyBroken(f"{module.name}:{token.line}: nothing stands after `with input as`")
            yield token, value


def _value(tokens: list[Token]) -> Iterator[Token]:
    """Yield the tokens of a value: up to a line's end, a semicolon or a closing bracket outside of its own."""
    depth = 0
    last = None
    for token in tokens:
        closes = token.text in {"}", "]", ")"}
        if depth == 0 and (closes or token.text in {";", "with"} or token.line != (last or token.line)):
            return
        depth += (token.text in {"{", "[", "("}) - closes
        last = token.line
        yield token


def _without(source: str, cuts: list[tuple[int, int]]) -> str:
    kept: list[str] = []
    place = 0
    for start, end in sorted(cuts):
        kept.append(source[place:start] + "\n" * source[start:end].count("\n"))
        place = end
    return "".join(kept) + source[place:]
