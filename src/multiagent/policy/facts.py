"""The input document that rules see, made from a typed question; and the checks a question passes before any rule.

Pure. A question is encoded once, as MessagePack: those bytes are the cache key (they tell 1 from true from 1.0, and
NaN from null), and decoding them strictly against the question's own type is the check.
"""

from typing import Final

import msgspec

from multiagent.core.decision import Ask, EgressAsk, ModelAsk, ToolAsk
from multiagent.core.errors import InvalidInput
from multiagent.core.principal import Principal

ENTRIES: Final = {
    ToolAsk: "multiagent/tools/decision",
    ModelAsk: "multiagent/models/decision",
    EgressAsk: "multiagent/egress/decision",
}
"""The entry point of the bundle that answers each kind of question."""

_MOST: Final = 1 << 53
"""Beyond it, numbers of JSON are no longer exact."""
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Ask]] = msgspec.msgpack.Decoder(Ask)

Document = dict[str, object]
"""JSON: what a rule finds under ``input``."""
NOBODY: Final[tuple[Document, ...]] = (
    {},
    {"user": {}, "tool": {}, "code": {}, "model": {}, "egress": {}, "labels": []},
)
"""Questions of nobody about nothing: every entry point must answer them, and deny."""


def encode(ask: Ask) -> bytes:
    """Return the question as bytes that are equal only for equal questions; InvalidInput where it cannot be encoded."""
    if type(ask) not in ENTRIES:
        raise InvalidInput(f"policy cannot be asked about {type(ask).__name__}")
    try:
        return _ENCODER.encode(ask)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"the question to policy is malformed: {error}") from error


def decode(data: bytes) -> Ask:
    """Return the question, every field of its exact type and in its range; InvalidInput names the first that is not."""
    try:
        ask = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the question to policy is malformed: {error}") from error
    if b"\0" in data and _has_nul(msgspec.to_builtins(ask)):
        raise InvalidInput("the question to policy is malformed: a text holds a zero character")
    _check(ask)
    return ask


def _has_nul(value: object) -> bool:
    """Rules would see a text only up to a zero character: "admin", NUL, "x" would be "admin"."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(map(_has_nul, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_nul, value))


def _check(ask: Ask) -> None:
    if not (ask.principal.tenant and ask.principal.user):
        raise InvalidInput("the question to policy is malformed: tenant and user must be named")
    if isinstance(ask, ToolAsk):
        wrong = not (ask.tool and ask.group and ask.arguments_hash) or (
            ask.code is not None and not 0 <= ask.code.length <= _MOST
        )
    elif isinstance(ask, ModelAsk):
        wrong = not (ask.vendor and ask.model) or not 0 <= ask.max_output <= _MOST
    else:
        wrong = not ask.host or not 0 < ask.port < 1 << 16
    if wrong:
        raise InvalidInput("the question to policy is malformed: a name is empty or a number out of range")


def document(ask: Ask) -> Document:
    """Return what rules see of a question: the seed's names (``user``, ``tool``, ``code``), and ours beside them."""
    found: Document = {"labels": list(ask.labels), "user": _user(ask.principal)}
    if isinstance(ask, ToolAsk):
        found["tool"] = {"name": ask.tool, "group": ask.group, "idempotent": ask.idempotent}
        found["arguments"] = {"hash": ask.arguments_hash}
        if ask.code is not None:
            code = ask.code
            found["code"] = {
                "language": code.language,
                "sha256": code.sha256,
                "length": code.length,
                "flags": list(code.flags),
            }
    elif isinstance(ask, ModelAsk):
        found["model"] = {
            "vendor": ask.vendor,
            "name": ask.model,
            "tier": str(ask.tier),
            "max_output": ask.max_output,
        }
    else:
        found["egress"] = {"host": ask.host, "port": ask.port, "method": ask.method}
    return found


def _user(principal: Principal) -> Document:
    return {
        "id": principal.user,
        "tenant": principal.tenant,
        "role": principal.role,
        "authenticated": principal.authenticated,
        "permissions": list(principal.permissions),
        "agent": principal.agent,
    }
