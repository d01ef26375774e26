"""The checks a bundle must pass, in a process of their own that ``policy.bundle`` starts, bundle on its input."""

import sys

import msgspec

from multiagent.core.errors import PolicyBroken, PolicyDenied
from multiagent.policy.answers import read_decision
from multiagent.policy.bundle import PASSED, REFUSED, Bundle
from multiagent.policy.facts import ENTRIES, NOBODY
from multiagent.policy.rego import Program
from multiagent.policy.source import Module


def check(bundle: Bundle) -> int:
    """Return the number of tests the bundle passed; PolicyBroken says why it may not decide."""
    for entry in ENTRIES.values():
        package = entry.rpartition("/")[0].replace("/", ".")
        if not any(module.package == package for module in bundle.rules):
            raise PolicyBroken(f"it has no package {package}, so nothing would answer {entry}")
    program = Program(bundle.rules, ENTRIES.values())
    program.refuse_unknown_calls()
    probe(program)
    return run_tests(bundle)


def probe(program: Program) -> None:
    """Ask each entry point about nobody and nothing: it must answer, in shape, and must not allow."""
    for entry in ENTRIES.values():
        for document in NOBODY:
            try:
                decision = read_decision(program.ask(entry, document))
            except PolicyDenied as error:
                raise PolicyBroken(f"{entry} does not answer an empty question: {error.message}") from error
            if decision.allow:
                raise PolicyBroken(f"{entry} allows an empty question; it must deny by default")


def run_tests(bundle: Bundle) -> int:
    """Run every ``test_`` rule; return how many there are. PolicyBroken names those that are not true."""
    tests = [
        (_entry(module, test.rule), _entry(module, test.input_rule)) for module in bundle.tests for test in module.tests
    ]
    if not tests:
        raise PolicyBroken("it has no tests (rules named test_… in files *_test.rego); untested rules may not decide")
    program = Program((*bundle.rules, *bundle.tests), [entry for test in tests for entry in test if entry])
    program.refuse_unknown_calls()
    failed = [f"{rule} ({why})" for rule, given in tests if (why := _fails(program, rule, given))]
    if failed:
        raise PolicyBroken(f"{len(failed)} of its {len(tests)} tests fail: {', '.join(failed[:5])}")
    return len(tests)


def _entry(module: Module, rule: str) -> str:
    return f"{module.package.replace('.', '/')}/{rule}" if rule else ""


def _fails(program: Program, rule: str, given: str) -> str:
    """Return why a test fails, empty where it passes."""
    try:
        document = msgspec.json.decode(program.ask(given, {})) if given else {}
        answer = program.ask(rule, document)
    except PolicyDenied as error:
        return error.message
    return "" if answer == b"true" else f"it is {answer[:80].decode('utf-8', 'replace')}"


def main() -> int:
    """Read a bundle from standard input; answer by exit code and the two outputs."""
    try:
        check(msgspec.json.decode(sys.stdin.buffer.read(), type=Bundle))
    except PolicyBroken as error:
        sys.stderr.write(error.message)
        return REFUSED
    sys.stdout.buffer.write(PASSED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
