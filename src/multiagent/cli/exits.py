"""Exit codes: stable, documented in docs/cli.md, one for each kind of trouble."""

from typing import Final

from multiagent.core.errors import (
    BreakerOpen,
    BudgetBusy,
    BudgetExceeded,
    EngineOwned,
    InvalidInput,
    NonDeterminism,
    NotFound,
    PlatformError,
    PolicyDenied,
    SandboxError,
    StorageError,
    VendorError,
)

OK: Final = 0
INTERNAL: Final = 1
USAGE: Final = 2
TASK_FAILED: Final = 3
BUDGET: Final = 4
DENIED: Final = 5
VENDOR: Final = 6
STORAGE: Final = 7
SANDBOX: Final = 8
NOT_FOUND: Final = 9
OWNED: Final = 10
DRIFTED: Final = 11
WAITING: Final = 12
INTERRUPTED: Final = 130
TERMINATED: Final = 143

_BY_KIND: Final[tuple[tuple[type[PlatformError], int], ...]] = (
    (InvalidInput, USAGE),
    (NotFound, NOT_FOUND),
    (PolicyDenied, DENIED),
    (BudgetExceeded, BUDGET),
    (BudgetBusy, BUDGET),
    (VendorError, VENDOR),
    (BreakerOpen, VENDOR),
    (StorageError, STORAGE),
    (EngineOwned, OWNED),
    (NonDeterminism, DRIFTED),
    (SandboxError, SANDBOX),
)

_BY_PREFIX: Final = (
    ("BUDGET_", BUDGET),
    ("POLICY_", DENIED),
    ("PLAN_REJECTED", DENIED),
    ("VENDOR_", VENDOR),
    ("NO_MODEL", VENDOR),
    ("BREAKER_", VENDOR),
)


def of_error(error: PlatformError) -> int:
    """Return the exit code of an error; an unknown kind is ``INTERNAL``."""
    for kind, code in _BY_KIND:
        if isinstance(error, kind):
            return code
    return INTERNAL


def of_failure(code: str) -> int:
    """Return the exit code of a task that ended with a failure of this code."""
    for prefix, exit_code in _BY_PREFIX:
        if code.startswith(prefix):
            return exit_code
    return TASK_FAILED
