"""``multiagent diff``: two runs beside each other."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from multiagent.cli import output
from multiagent.cli.home import here
from multiagent.core.money import show_usd

if TYPE_CHECKING:
    from multiagent.app.compare import Difference, Parting, Side, StepChange


def diff(
    a: Annotated[str, typer.Argument(help="A task's id.", metavar="A")],
    b: Annotated[str, typer.Argument(help="Another's.", metavar="B")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what differs between two runs: where they part, plan, steps, results and cost."""
    import asyncio

    from multiagent.app.compare import compare_tasks

    place = here()
    found = asyncio.run(compare_tasks(place, a, b))
    if json:
        output.as_json({"identical": found.identical} | msgspec.structs.asdict(found))
    else:
        output.answer(text(found))


def text(found: "Difference") -> str:
    """Return a difference as lines: ``-`` stands before what only A has, ``+`` before what only B has."""
    lines = [f"- {_side(found.a)}", f"+ {_side(found.b)}"]
    if found.identical:
        return "\n".join([*lines, f"identical: {found.same} steps with equal inputs and results"])
    lines.append(_parting(found.parts))
    for change in found.plan:
        lines.append(f"plan {change.id}:")
        lines.extend(f"  {mark} {side}" for mark, side in (("-", change.a), ("+", change.b)) if side is not None)
    lines.append(f"steps: {found.same} equal, {len(found.steps)} differ")
    lines.extend(f"  {_step(one)}" for one in found.steps)
    if found.text:
        lines.extend(["answer:", *(f"  {line}" for line in found.text[2:])])
    return "\n".join(lines)


def _side(side: "Side") -> str:
    took = f" in {side.duration_ms / 1000:.1f} s" if side.duration_ms is not None else ""
    forked = f", forked from {side.parent}" if side.parent else ""
    bill = side.bill
    return (
        f"{side.task} {side.status}{took}, {bill.usage.total:,} tokens, {show_usd(bill.cost_pico)}, "
        f"{bill.model_calls} model calls, {side.outcomes} outcomes{forked}"
    )


def _parting(parts: "Parting | None") -> str:
    if parts is None:
        return "they take the same way to the end"
    if parts.a == parts.b:
        return f"they part at outcome {parts.n}, {parts.a}: {parts.why}"
    return f"they part at outcome {parts.n}: {parts.why} (- {parts.a or 'nothing'}, + {parts.b or 'nothing'})"


def _step(one: "StepChange") -> str:
    if one.change in ("only_a", "only_b"):
        mark, tokens, pico = (
            ("-", one.a_tokens, one.a_pico) if one.change == "only_a" else ("+", one.b_tokens, one.b_pico)
        )
        return f"{mark} {one.key}" + (f"  {tokens:,} tokens {show_usd(pico)}" if tokens else "")
    told = [f"input {_places(one.inputs)}"] if one.inputs else []
    if one.outputs or one.change == "output":
        told.append(f"result {_places(one.outputs)}")
    cost = ""
    if (one.a_tokens, one.a_pico) != (one.b_tokens, one.b_pico):
        cost = f"  {one.a_tokens:,} → {one.b_tokens:,} tokens, {show_usd(one.a_pico)} → {show_usd(one.b_pico)}"
    return f"~ {one.key}  {'; '.join(told)}{cost}"


def _places(pointers: tuple[str, ...]) -> str:
    return ", ".join(one or "(whole)" for one in pointers) or "(failure)"
