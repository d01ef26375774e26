"""A preview of a task for people and for programs: the plan, and what it would probably cost."""

from collections.abc import Mapping

from multiagent.app.ask import Ask
from multiagent.app.preview import Preview, preview
from multiagent.app.record import Record
from multiagent.cli import exits, output, report
from multiagent.cli.session import Shown
from multiagent.config.settings import Settings
from multiagent.core.money import show_usd
from multiagent.orchestrator.estimate import Estimate, PlanEstimate, Range
from multiagent.orchestrator.given import of_plan


def shown(settings: Settings, asked: Ask, environment: Mapping[str, str]) -> Shown:
    """Return what prints the preview of a task that only planned, or its failure."""

    def show(record: Record, manner: output.Manner) -> int:
        if record.status != "completed":
            return report.show(record, manner)
        found = preview(record, settings, asked, environment)
        if manner.json:
            output.as_json(as_json(record, found))
        else:
            output.answer(text(record, found))
        return exits.OK

    return show


def text(record: Record, found: Preview) -> str:
    """Return a preview as lines."""
    lines = [f"complexity {found.score:.2f} → {found.mode}: {'; '.join(found.reasons)}"]
    if found.degraded:
        lines.append("no valid plan was made; one agent would do the whole")
    elif found.plan.reason:
        lines.append(f"plan: {found.plan.reason}")
    estimates = {one.id: one for one in found.estimate.parts}
    for node in found.plan.tasks:
        told = [f"after {', '.join(node.depends_on)}"] if node.depends_on else []
        told += [f"tools {', '.join(node.tools)}"] if node.tools else []
        told += [f"files {', '.join(node.attachments)}"] if node.attachments else []
        told += [f"agent {node.agent}"] if node.agent else []
        told += [node.strategy] if node.strategy else []
        lines.append(f"  {node.id}  {node.title}" + (f"  [{'; '.join(told)}]" if told else ""))
        lines.append(f"      {_range(estimates[node.id])}")
    if "synthesis" in estimates:
        lines += ["  synthesis", f"      {_range(estimates['synthesis'])}"]
    total = found.estimate
    bill = record.bill
    lines.append(
        f"in all {_tokens(total.tokens)} tokens, {_dollars(total.cost_pico)} (estimated; the budget is the limit)"
    )
    lines.append(
        f"planning used {bill.usage.total:,} tokens, {show_usd(bill.cost_pico)}, in {bill.model_calls} model calls; "
        f"no agent was run (task {record.task})"
    )
    return "\n".join(lines)


def as_json(record: Record, found: Preview) -> dict[str, object]:
    """Return a preview, stable in its names; ``plan`` reads as a plan file."""
    return {
        "task": record.task,
        "mode": found.mode,
        "score": found.score,
        "reasons": list(found.reasons),
        "degraded": found.degraded,
        "plan": of_plan(found.plan),
        "estimate": {
            **_both(found.estimate),
            "parts": [
                {"id": one.id, "title": one.title, "tier": one.tier, **_both(one)} for one in found.estimate.parts
            ],
        },
        "planning": report.bill_json(record.bill),
    }


def _both(found: Estimate | PlanEstimate) -> dict[str, object]:
    return {
        "tokens": {"low": found.tokens.low, "high": found.tokens.high},
        "cost_usd": {"low": report.dollars(found.cost_pico.low), "high": report.dollars(found.cost_pico.high)},
    }


def _range(one: Estimate) -> str:
    return f"{_tokens(one.tokens)} tokens, {_dollars(one.cost_pico)}, {one.tier} tier"


def _tokens(found: Range) -> str:
    return f"{found.low:,}–{found.high:,}"


def _dollars(found: Range) -> str:
    return show_usd(found.low) if found.low == found.high else f"{show_usd(found.low)}–{show_usd(found.high)}"
