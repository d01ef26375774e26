"""A person's edit of what a step answered: shown with what it refers to, changed in one place, taken back."""

from collections.abc import Mapping
from typing import Any

import msgspec

from multiagent.core.errors import InvalidInput
from multiagent.core.travel import Edit
from multiagent.engines.actions import RunStep
from multiagent.engines.attempt import LARGE
from multiagent.engines.base import Resolver, Step
from multiagent.engines.kernel import Value, encode
from multiagent.engines.pointer import replaced
from multiagent.storage.objects.base import Objects
from multiagent.storage.sql.ops import StoredResult


async def edited(
    objects: Objects,
    steps: Mapping[str, Step[Any, Any]],
    tenant: str,
    step: RunStep | None,
    found: Value,
    edit: Edit,
) -> tuple[bytes, StoredResult]:
    """Return the result of a cut's own step with the edit in it, and the row that keeps it.

    Raises InvalidInput where the edit is of another step, its pointer leads nowhere, or its value does not fit there.
    """
    if step is None or edit.step != step.key:
        where = f"the outcome of step {step.key!r}" if step is not None else "no step's outcome"
        raise InvalidInput(
            f"an edit may address only the cut's own step: this cut is just after {where}, not of {edit.step!r}",
            details={"step": edit.step},
        )
    if not isinstance(found, bytes):
        raise InvalidInput(f"step {step.key} failed, so it has no result to edit; fork before it, or edit another step")
    code = steps.get(step.definition.name)
    stored = await _changed(tenant, step, found, edit, None if code is None else code.resolver)
    ref = await objects.put(tenant, stored) if len(stored) > LARGE else ""
    return stored, StoredResult(step.key, step.input_hash, b"" if ref else stored, ref)


async def _changed(tenant: str, step: RunStep, found: bytes, edit: Edit, resolver: Resolver[Any] | None) -> bytes:
    place = f"{step.key}:{edit.pointer}"
    try:
        value = msgspec.json.decode(edit.value)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the value for {place} is no JSON: {error}; put text in quotes") from error
    before = msgspec.json.decode(found, type=step.definition.output)
    shown = found if resolver is None else await resolver.show(tenant, before)
    changed = msgspec.json.encode(replaced(msgspec.json.decode(shown), edit.pointer, value))
    try:
        if resolver is not None:
            return encode(await resolver.keep(tenant, before, changed))
        return encode(msgspec.json.decode(changed, type=step.definition.output))
    except msgspec.MsgspecError as error:
        raise InvalidInput(
            f"{place} cannot be that: {error}", details={"step": step.key, "pointer": edit.pointer}
        ) from error
