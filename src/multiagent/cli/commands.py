"""Every command there is, under its name."""

import typer

from multiagent.cli import (
    approvals,
    diff,
    doctor,
    fork,
    history,
    keeping,
    output,
    plan,
    replay,
    run,
    sandbox,
    schedules,
    serve,
    tasks,
)

app = typer.Typer(
    name="multiagent",
    help="Run teams of AI agents under a hard budget and a policy.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.add_typer(tasks.app, name="tasks")
keeping.register(tasks.app)
app.add_typer(keeping.sessions_app, name="sessions")
app.command("replay")(replay.replay)
app.add_typer(history.app, name="history")
app.command("fork")(fork.fork)
app.command("diff")(diff.diff)
app.add_typer(approvals.app, name="approvals")
app.add_typer(schedules.app, name="schedules")
app.add_typer(sandbox.app, name="sandbox")
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)


@app.command("version")
def show_version() -> None:
    """Print the version."""
    from importlib.metadata import version  # it loads the mail parser

    output.answer(version("multiagent"))
