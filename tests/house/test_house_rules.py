"""The house rules, held against this checkout."""

from collections.abc import Callable

import pytest

from tests.house import rules_effects, rules_floors, rules_habits, rules_shape, rules_workflow
from tests.house.tree import Tree

Rule = Callable[[Tree], list[str]]
RULES: tuple[Rule, ...] = (
    rules_floors.floors,
    rules_floors.unbuilt_floors,
    rules_floors.walls,
    rules_floors.purity,
    rules_floors.factories,
    rules_floors.ports,
    rules_floors.test_code,
    rules_workflow.workflow_imports,
    rules_workflow.workflow_code,
    rules_shape.file_sizes,
    rules_shape.function_sizes,
    rules_shape.parameters,
    rules_shape.names,
    rules_shape.depth,
    rules_shape.mirror,
    rules_shape.faces,
    rules_shape.public_any,
    rules_habits.broad_excepts,
    rules_habits.excuses,
    rules_habits.sleeps,
    rules_habits.dead_keys,
    rules_habits.dead_fields,
    rules_habits.machine_names,
    rules_habits.dependencies,
    rules_habits.locks,
    rules_effects.import_effects,
    rules_effects.light_start,
    rules_effects.workflow_start,
)


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree()


@pytest.mark.requirement("A8.bites")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_checkout_keeps(rule: Rule, tree: Tree) -> None:
    broken = rule(tree)
    assert not broken, "\n" + "\n".join(broken)
