"""A finished task for people and for programs: its answer, sources and full bill."""

from typing import TYPE_CHECKING, Final

from multiagent.cli import exits, output
from multiagent.core.money import PICO, show_usd
from multiagent.core.usage import Bill

if TYPE_CHECKING:
    from multiagent.app.record import Record


OFFLINE: Final = "answered by the built-in offline model: fixed rules, no language model"
"""Under every answer that the stand-in had a part in."""


def show(record: "Record", manner: output.Manner) -> int:
    """Print a task that ended; return the exit code."""
    if manner.json:
        output.as_json(as_json(record))
    else:
        output.answer(text(record))
    return exit_code(record)


def text(record: "Record") -> str:
    """Return the answer with its sources, bill and task id."""
    parts: list[str] = []
    if record.result is not None and record.result.text:
        parts.append(record.result.text.rstrip())
    elif record.status == "completed":
        parts.append("(the answer was pruned; its bill is kept)")
    if record.failure is not None:
        parts.append(f"error {record.failure.code}: {record.failure.message}")
    return "\n\n".join([*parts, "\n".join(["---", *_footer(record)])])


def _footer(record: "Record") -> list[str]:
    bill, result = record.bill, record.result
    took = f" in {record.duration_ms / 1000:.1f} s" if record.duration_ms is not None else ""
    lines = [f"task {record.task} {record.status}{took}"]
    if record.parent:
        lines.append(f"from task {record.parent}; what differs: multiagent diff {record.parent} {record.task}")
    if result is not None:
        if result.sources:
            used = "; ".join(f"{source.name} ({', '.join(source.used_by)})" for source in result.sources)
            lines.append(f"sources: {used}")
        if result.partial:
            lines.append(f"partial answer; missing: {'; '.join(result.missing) or 'unknown'}")
    lines.append(
        f"agents {len(record.agents)}, model calls {bill.model_calls}, tool calls {bill.tool_calls}; models: "
        + (", ".join(record.models) or "none")
    )
    estimated = ", estimated" if record.estimated else ""
    lines.append(
        f"tokens {bill.usage.total:,} (prompt {bill.usage.prompt:,}, output {bill.usage.completion:,}{estimated}); "
        f"cost {show_usd(bill.cost_pico)}, saved {show_usd(bill.saved_pico)}"
    )
    if record.offline:
        lines.append(OFFLINE)
    if bill.lost_tokens or bill.lost_pico:
        lines.append(f"lost (may have been billed): up to {bill.lost_tokens:,} tokens, {show_usd(bill.lost_pico)}")
    return lines


def exit_code(record: "Record") -> int:
    """Return the exit code of a task that ended."""
    if record.status == "completed":
        return exits.OK
    return exits.of_failure(record.failure.code) if record.failure is not None else exits.TASK_FAILED


def bill_json(bill: Bill) -> dict[str, object]:
    """Return a bill with dollars as exact decimal text."""
    return {
        "tokens": bill.usage.total,
        "prompt_tokens": bill.usage.prompt,
        "completion_tokens": bill.usage.completion,
        "cached_tokens": bill.usage.cached,
        "cost_usd": dollars(bill.cost_pico),
        "saved_usd": dollars(bill.saved_pico),
        "lost_tokens": bill.lost_tokens,
        "lost_usd": dollars(bill.lost_pico),
        "model_calls": bill.model_calls,
        "tool_calls": bill.tool_calls,
    }


def dollars(pico: int) -> str:
    """Return exact decimal dollars, without an exponent."""
    whole, rest = divmod(pico, PICO)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".") if rest else str(whole)


def as_json(record: "Record") -> dict[str, object]:
    """Return everything about a task, stable in its names."""
    result = record.result
    return {
        "task": record.task,
        "status": record.status,
        "query": record.query,
        "mode": record.mode,
        "text": result.text if result else "",
        "data": result.data if result else {},
        "sources": [{"name": s.name, "kind": s.kind, "used_by": list(s.used_by)} for s in result.sources]
        if result
        else [],
        "artifacts": [{"name": a.name, "media_type": a.media_type, "size": a.size} for a in result.artifacts]
        if result
        else [],
        "partial": bool(result and result.partial),
        "missing": list(result.missing) if result else [],
        "error": {"code": record.failure.code, "message": record.failure.message} if record.failure else None,
        "bill": bill_json(record.bill),
        "models": list(record.models),
        "estimated": record.estimated,
        "offline": record.offline,
        "duration_ms": record.duration_ms,
        "created": record.created,
        "parent": record.parent,
        "agents": [
            {
                "id": agent.agent,
                "query": agent.query,
                "status": agent.status,
                "result": agent.result,
                "model": agent.model,
                "tokens": agent.usage.total,
                "cost_usd": dollars(agent.cost_pico),
                "tool_calls": agent.tool_calls,
                "execution_ms": agent.execution_ms,
            }
            for agent in record.agents
        ],
    }
