"""What rules answered, read strictly: whatever is not exactly a decision, and whatever fails on the way, denies."""

import logging
from collections.abc import Awaitable
from typing import Final, Literal

import msgspec

from multiagent.core.decision import Decision
from multiagent.core.errors import InvalidInput, PolicyDenied

_LOG: Final = logging.getLogger(__name__)


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    allow: bool
    reasons: tuple[str, ...]
    obligations: tuple[Literal["approve"], ...]


_ALLOW: Final = b'"allow":'
_SHAPE: Final = msgspec.json.Decoder(_Shape)


def read_decision(answer: bytes) -> Decision:
    """Return what an entry point answered; PolicyDenied where it is not exactly {allow, reasons, obligations}."""
    if answer.count(_ALLOW) != 1:
        raise PolicyDenied("the policy's answer has an odd shape: it must say once whether to allow")
    try:
        shape = _SHAPE.decode(answer)
    except msgspec.MsgspecError as error:
        raise PolicyDenied(f"the policy's answer has an odd shape: {error}") from error
    if shape.allow:
        return Decision(True, shape.reasons, shape.obligations)
    return Decision(False, shape.reasons or ("no rule allows it",))


async def guarded(deciding: Awaitable[Decision]) -> Decision:
    """Return the decision; whatever goes wrong on its way is a denial with its reason."""
    try:
        return await deciding
    except (InvalidInput, PolicyDenied) as error:
        _LOG.warning("policy denied: %s", error.message)
        return Decision(False, (error.message,))
    except Exception as error:  # noqa: BLE001 - the top of every decision: what fails here must deny, whatever it is
        _LOG.exception("policy failed; denied")
        return Decision(False, (f"policy failed: {type(error).__name__}",))
