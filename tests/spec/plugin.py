"""Ties tests to what was asked for: a full run fails where a promise that is due has no test that ran."""

import os
from dataclasses import dataclass, field

import pytest

from tests.spec.requirements import ALL, Requirement

KNOWN = {requirement.id for requirement in ALL}
PROPERTY = "requirement"


@dataclass(slots=True)
class Proofs:
    """What the run has shown so far: ids with a test that ran, ids whose tests were all skipped."""

    ran: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)

    def note(self, report: pytest.TestReport) -> None:
        """Take one test report in; a skip shows at set-up or in the call."""
        ids = {str(value) for name, value in report.user_properties if name == PROPERTY}
        if report.skipped:
            self.skipped |= ids
        elif report.when == "call":
            self.ran |= ids


def unproven(requirements: tuple[Requirement, ...], proofs: Proofs, *, skips_count: bool) -> list[str]:
    """The promises that are due and that no test has shown, one line each."""
    shown = proofs.ran | (proofs.skipped if skips_count else set())
    return [
        f"{requirement.id}: {requirement.promise}"
        + (" (its tests were skipped)" if requirement.id in proofs.skipped else " (no test carries it)")
        for requirement in requirements
        if requirement.later is None and requirement.id not in shown
    ]


def summary(requirements: tuple[Requirement, ...], proofs: Proofs) -> str:
    """One line: how many promises are proven, due and deferred."""
    due = [requirement for requirement in requirements if requirement.later is None]
    proven = sum(requirement.id in proofs.ran for requirement in due)
    early = sum(requirement.id in proofs.ran for requirement in requirements if requirement.later)
    return f"requirements: {proven} of {len(due)} proven, {len(requirements) - len(due) - early} deferred by name"


def is_full_run(config: pytest.Config) -> bool:
    """Whether everything was asked for: no path, no selection, not only a collection."""
    option = config.option
    chosen = [option.keyword, option.markexpr, option.deselect, option.ignore, option.collectonly, option.maxfail]
    chosen.append(getattr(option, "lf", False))
    return config.args_source is not pytest.Config.ArgsSource.ARGS and not any(chosen)


def pytest_configure(config: pytest.Config) -> None:
    """Start counting."""
    config.stash[_PROOFS] = Proofs()
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Counter(config.stash[_PROOFS]), "requirement-counter")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test's reports carry its ids, also from a worker to the controller."""
    for item in items:
        item.user_properties.extend((PROPERTY, one) for one in ids_of(item))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test that names a promise nobody made."""
    unknown = sorted(set(ids_of(item)) - KNOWN)
    if unknown:
        pytest.fail(f"unknown requirement {unknown}: add it to tests/spec/requirements.py", pytrace=False)


def ids_of(item: pytest.Item) -> list[str]:
    """The requirement ids that a test carries, its class's and module's included."""
    return [str(one) for marker in item.iter_markers("requirement") for one in marker.args]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a full run that leaves a due promise unproven."""
    config = session.config
    if hasattr(config, "workerinput") or not is_full_run(config):
        return
    missing = unproven(ALL, config.stash[_PROOFS], skips_count=not os.environ.get("CI"))
    config.stash[_MISSING] = missing
    if missing and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what is proven, and name what is not."""
    if not is_full_run(config):
        return
    missing = config.stash.get(_MISSING, [])
    if missing:
        terminalreporter.section("requirements without a test that ran", red=True)
        for line in missing:
            terminalreporter.write_line(line)
    terminalreporter.write_line(summary(ALL, config.stash[_PROOFS]))


class _Counter:
    """Sees the reports of every worker, in the controller."""

    def __init__(self, proofs: Proofs) -> None:
        self._proofs = proofs

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._proofs.note(report)


_PROOFS = pytest.StashKey[Proofs]()
_MISSING = pytest.StashKey[list[str]]()
