"""Arithmetic on text, exact: a tokenizer, a Pratt parser (Pratt, "Top down operator precedence", 1973) and fractions.

Pure, and bounded in time and space: numbers stay below ``MOST_BITS``, checked before a power is taken. Roots and
logarithms that are not rational are taken to 40 digits. Nothing is evaluated as code.
"""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import msgspec

from multiagent.core.errors import ToolArguments
from multiagent.tools.builtin.functions import CONSTANTS, FUNCTIONS, bounded, power

MOST_LENGTH: Final = 20_000
MOST_DEPTH: Final = 64
MOST_DIGITS: Final = 1200
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z]\w*)|(?P<mark>\*\*|//|[-+*/%^(),]))",
    re.ASCII,
)
_SAME: Final = str.maketrans(
    {"×": "*", "·": "*", "∙": "*", "÷": "/", "−": "-", "–": "-", "，": ",", "、": ",", "√": "sqrt "}
)
_CALL: Final = re.compile(r"[A-Za-z]\w*\s*\(")
_GROUPED: Final = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_RAISED: Final = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_BINARY: Final = {"+": 10, "-": 10, "*": 20, "/": 20, "//": 20, "%": 20, "of": 20, "**": 40, "^": 40}
_SIGN: Final = 30


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    place: int


def calculate(expression: str) -> Fraction:
    """Return the value of an expression: ``+ - * / // % ** ^``, parentheses, ``15%``, ``15% of 80``, functions.

    Full-width and typographic signs are read as their plain ones, and so is 1,234,567 where no function is called
    (there, a comma parts values). Raises ToolArguments that names the place.
    """
    if len(expression) > MOST_LENGTH:
        raise ToolArguments(f"the expression has {len(expression)} characters; at most {MOST_LENGTH} are read")
    raised = _RAISED.sub(lambda hit: f"**({hit.group()})", expression.translate(_SAME))
    text = unicodedata.normalize("NFKC", raised).strip().rstrip("=?").strip()
    if not _CALL.search(text):
        text = _GROUPED.sub(lambda hit: hit.group().replace(",", ""), text)
    if not text:
        raise ToolArguments("the expression is empty; give one such as 2 * (3 + 4)")
    parser = _Parser([*_tokens(text), _Token("end", "", len(text))])
    value = parser.value(0, 0)
    parser.expect("end", "")
    return value


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        hit = _TOKEN.match(text, place)
        if hit is None:
            rest = text[place:].lstrip()
            raise ToolArguments(f"cannot read {rest[:12]!r} at character {len(text) - len(rest) + 1} of the expression")
        kind = hit.lastgroup or "mark"
        yield _Token(kind, hit[kind], hit.start(kind))
        place = hit.end()


class _Parser:
    """Reads and computes in one pass; ``value(power)`` takes operators that bind more strongly than ``power``."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def expect(self, kind: str, text: str) -> None:
        """Take this token or say what stands there instead."""
        token = self._next
        if (token.kind, token.text) != (kind, text):
            raise ToolArguments(
                f"expected {repr(text) if text else 'the end'} at character {token.place + 1} of the expression,"
                f" found {repr(token.text) if token.text else 'the end'}"
            )
        self._at += 1

    def value(self, strength: int, depth: int) -> Fraction:
        """Return the value of what stands here, up to an operator no stronger than ``strength``."""
        if depth > MOST_DEPTH:
            raise ToolArguments(f"the expression is nested deeper than {MOST_DEPTH}")
        left = self._operand(depth)
        while True:
            sign = self._next.text
            if sign == "%" and not self._operand_follows():
                self._take()
                left /= 100
                continue
            binds = _BINARY.get(sign, 0) if self._next.kind != "end" else 0
            if binds <= strength:
                return left
            self._take()
            right_first = sign in {"**", "^"}
            left = _apply(sign, left, self.value(binds - 1 if right_first else binds, depth + 1))

    def _operand_follows(self) -> bool:
        after = self._tokens[self._at + 1]
        return after.kind == "number" or after.text == "(" or (after.kind == "name" and after.text != "of")

    def _operand(self, depth: int) -> Fraction:
        token = self._take()
        if token.kind == "number":
            return _number(token)
        if token.text in {"-", "+"}:
            value = self.value(_SIGN, depth + 1)
            return -value if token.text == "-" else value
        if token.text == "(":
            value = self.value(0, depth + 1)
            self.expect("mark", ")")
            return value
        if token.kind == "name":
            return self._named(token, depth)
        raise ToolArguments(
            f"a number is missing at character {token.place + 1} of the expression"
            + (f", before {token.text!r}" if token.text else "")
        )

    def _named(self, token: _Token, depth: int) -> Fraction:
        name = token.text.lower()
        if name in CONSTANTS and self._next.text != "(":
            return CONSTANTS[name]
        function = FUNCTIONS.get(name)
        if function is None:
            raise ToolArguments(f"unknown name {token.text!r}; known are {', '.join(sorted({*FUNCTIONS, *CONSTANTS}))}")
        if name == "sqrt" and self._next.text != "(":
            return bounded(function([self.value(_SIGN, depth + 1)]))
        self.expect("mark", "(")
        arguments = [self.value(0, depth + 1)]
        while self._next.text == ",":
            self._take()
            arguments.append(self.value(0, depth + 1))
        self.expect("mark", ")")
        return bounded(function(arguments))


def _number(token: _Token) -> Fraction:
    plain = token.text.replace("_", "")
    exponent = re.search(r"[eE]([+-]?\d+)$", plain)
    if len(plain) > MOST_DIGITS or (exponent and abs(int(exponent[1][:6])) > MOST_DIGITS):
        raise ToolArguments(f"the number {token.text[:20]!r} is too large")
    return bounded(Fraction(plain))


def _apply(sign: str, left: Fraction, right: Fraction) -> Fraction:
    if sign in {"/", "//", "%"} and right == 0:
        raise ToolArguments("division by zero")
    if sign == "+":
        found = left + right
    elif sign == "-":
        found = left - right
    elif sign in {"*", "of"}:
        found = left * right
    elif sign == "/":
        found = left / right
    elif sign == "//":
        found = Fraction(left // right)
    elif sign == "%":
        found = left % right
    else:
        found = power(left, right)
    return bounded(found)
