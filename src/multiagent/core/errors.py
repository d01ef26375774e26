"""The one error tree: a stable ``code`` each, ``retryable``, a message that says what to do; as data: ``Failure``.

PlatformError                INTERNAL
├── InvalidInput             INVALID_INPUT
│   ├── AttachmentRejected   ATTACHMENT_REJECTED
│   ├── PlanInvalid          PLAN_INVALID
│   └── ConfigInvalid        CONFIG_INVALID
├── NotFound                 NOT_FOUND
├── PolicyDenied             POLICY_DENIED
│   └── PolicyBroken         POLICY_BROKEN         (a bundle that was refused)
├── BudgetExceeded           BUDGET_EXCEEDED
├── BudgetBusy               BUDGET_BUSY           retryable
├── VendorError              VENDOR_FAILED
│   ├── VendorUnavailable    VENDOR_UNAVAILABLE    retryable
│   ├── VendorRateLimited    VENDOR_RATE_LIMITED   retryable
│   ├── VendorTimeout        VENDOR_TIMEOUT        retryable
│   ├── VendorBadResponse    VENDOR_BAD_RESPONSE   retryable
│   ├── VendorUnauthorized   VENDOR_UNAUTHORIZED
│   ├── VendorRejected       VENDOR_REJECTED
│   └── NoModel              NO_MODEL
├── ModelOutputInvalid       MODEL_OUTPUT_INVALID
├── BreakerOpen              BREAKER_OPEN          retryable
├── StorageError             STORAGE_FAILED
│   ├── StorageUnavailable   STORAGE_UNAVAILABLE   retryable
│   ├── StorageFull          STORAGE_FULL          retryable
│   ├── StorageCorrupt       STORAGE_CORRUPT
│   └── StorageNewer         STORAGE_NEWER
├── EngineError              ENGINE_FAILED
│   ├── EngineUnavailable    ENGINE_UNAVAILABLE    retryable
│   ├── EngineOwned          ENGINE_OWNED          (another process owns this home)
│   ├── NonDeterminism       NON_DETERMINISM
│   ├── WorkflowBroken       WORKFLOW_BROKEN       (foreign awaitable, duplicate key, runaway)
│   ├── Forked               FORKED                (in engines.base: what was asked for does not cross a cut)
│   ├── WorkflowTimeout      WORKFLOW_TIMEOUT      (a TimeoutError too)
│   ├── StepTimeout          STEP_TIMEOUT          retryable
│   ├── StepDeadline         STEP_DEADLINE
│   ├── StepPoisoned         STEP_POISONED
│   └── StepFailed           (the code of the failure it carries)
├── SandboxError             SANDBOX_FAILED
│   ├── SandboxTimeout       SANDBOX_TIMEOUT
│   ├── SandboxMemory        SANDBOX_MEMORY
│   ├── SandboxFuel          SANDBOX_FUEL
│   ├── SandboxStack         SANDBOX_STACK
│   ├── SandboxOutput        SANDBOX_OUTPUT
│   ├── SandboxDisk          SANDBOX_DISK
│   ├── SandboxDenied        SANDBOX_DENIED        (a grant, path or capability that was not given)
│   ├── SandboxProtocol      SANDBOX_PROTOCOL      (the guest's envelope is forged or broken)
│   ├── SandboxCrashed       SANDBOX_CRASHED       retryable
│   ├── SandboxBusy          SANDBOX_BUSY          retryable
│   └── SandboxUnbuilt       SANDBOX_UNBUILT
└── ToolError                TOOL_FAILED
    ├── ToolUnknown          TOOL_UNKNOWN
    ├── ToolArguments        TOOL_ARGUMENTS
    ├── ToolTimeout          TOOL_TIMEOUT
    └── EffectUnknown        EFFECT_UNKNOWN
"""

from collections.abc import Mapping
from typing import ClassVar


class PlatformError(Exception):
    """Root of all; ``details`` holds small facts (texts, numbers, booleans) for programs, ``message`` is for people."""

    code: str = "INTERNAL"
    retryable: bool = False

    def __init__(self, message: str, *, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, object] = dict(details or {})


class Cancelled(BaseException):
    """Thrown when a task is cancelled; outside the tree, a ``BaseException`` that no handler of errors swallows."""

    code: ClassVar[str] = "CANCELLED"


class InvalidInput(PlatformError):
    """What the caller gave cannot be used; the message says which part and what would do."""

    code = "INVALID_INPUT"


class AttachmentRejected(InvalidInput):
    """An attached file is missing, unreadable, too large, or not of a kind that can be read."""

    code = "ATTACHMENT_REJECTED"


class PlanInvalid(InvalidInput):
    """A plan is not a small acyclic graph of known agent tasks."""

    code = "PLAN_INVALID"


class ConfigInvalid(InvalidInput):
    """A configuration file or variable has a wrong key, type or value."""

    code = "CONFIG_INVALID"


class NotFound(PlatformError):
    """No such task, session, message or object for this tenant."""

    code = "NOT_FOUND"


class PolicyDenied(PlatformError):
    """Policy said no; ``details["reasons"]`` lists why."""

    code = "POLICY_DENIED"


class PolicyBroken(PolicyDenied):
    """A policy bundle was refused: it does not parse, its tests fail, or its entry points give odd shapes."""

    code = "POLICY_BROKEN"


class BudgetExceeded(PlatformError):
    """Used plus need is over a limit; ``details["scope"]`` names it. Waiting cannot help."""

    code = "BUDGET_EXCEEDED"


class BudgetBusy(PlatformError):
    """Only reservations of others stood in the way until the deadline."""

    code = "BUDGET_BUSY"
    retryable = True


class VendorError(PlatformError):
    """A model vendor failed; ``details["vendor"]`` names it."""

    code = "VENDOR_FAILED"


class VendorUnavailable(VendorError):
    """The vendor could not be reached, broke off, or answered 5xx."""

    code = "VENDOR_UNAVAILABLE"
    retryable = True


class VendorRateLimited(VendorError):
    """The vendor answered 429; ``details["retry_after_s"]`` where it said so."""

    code = "VENDOR_RATE_LIMITED"
    retryable = True


class VendorTimeout(VendorError):
    """The vendor did not answer, or stopped sending, within the time allowed."""

    code = "VENDOR_TIMEOUT"
    retryable = True


class VendorBadResponse(VendorError):
    """The vendor's answer is not of its wire format."""

    code = "VENDOR_BAD_RESPONSE"
    retryable = True


class VendorUnauthorized(VendorError):
    """The vendor refused the key (401 or 403)."""

    code = "VENDOR_UNAUTHORIZED"


class VendorRejected(VendorError):
    """The vendor refused the request itself (other 4xx)."""

    code = "VENDOR_REJECTED"


class NoModel(VendorError):
    """No configured model fits the request."""

    code = "NO_MODEL"


class ModelOutputInvalid(PlatformError):
    """A model's answer does not have the shape that was asked for, also after it was asked to repair it."""

    code = "MODEL_OUTPUT_INVALID"


class BreakerOpen(PlatformError):
    """A circuit breaker refuses calls for now; ``details["name"]`` names it."""

    code = "BREAKER_OPEN"
    retryable = True


class StorageError(PlatformError):
    """Storage failed in a way that trying again will not mend."""

    code = "STORAGE_FAILED"


class StorageUnavailable(StorageError):
    """Storage could not be reached in time."""

    code = "STORAGE_UNAVAILABLE"
    retryable = True


class StorageFull(StorageError):
    """The disk is full; free space and go on: nothing committed is lost."""

    code = "STORAGE_FULL"
    retryable = True


class StorageCorrupt(StorageError):
    """A stored file is damaged or is not what its name says."""

    code = "STORAGE_CORRUPT"


class StorageNewer(StorageError):
    """The database was written by a newer version of this program."""

    code = "STORAGE_NEWER"


class EngineError(PlatformError):
    """The durable engine failed."""

    code = "ENGINE_FAILED"


class EngineUnavailable(EngineError):
    """The engine is stopped or cannot be reached."""

    code = "ENGINE_UNAVAILABLE"
    retryable = True


class EngineOwned(EngineError):
    """Another process owns this home; ``details["pid"]`` where known."""

    code = "ENGINE_OWNED"


class NonDeterminism(EngineError):
    """Workflow code did something else than its journal says; ``details`` names the step and both digests."""

    code = "NON_DETERMINISM"


class WorkflowBroken(EngineError):
    """Workflow code broke a rule: a foreign awaitable, a duplicate step key, no rest within 10,000 resumptions."""

    code = "WORKFLOW_BROKEN"


class WorkflowTimeout(EngineError, TimeoutError):
    """A durable timeout of workflow code passed before its work ended."""

    code = "WORKFLOW_TIMEOUT"


class StepTimeout(EngineError):
    """One attempt of a step took longer than its attempt timeout, or its heartbeat stopped."""

    code = "STEP_TIMEOUT"
    retryable = True


class StepDeadline(EngineError):
    """A step did not finish before its deadline, retries included."""

    code = "STEP_DEADLINE"


class StepPoisoned(EngineError):
    """A step took its owner process down three times."""

    code = "STEP_POISONED"


class StepFailed(EngineError):
    """What workflow code catches when a step failed: the failure's own code, message and details."""

    def __init__(
        self, code: str, message: str, *, retryable: bool = False, details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, details=details)
        self.code = code
        self.retryable = retryable


class SandboxError(PlatformError):
    """Sandboxed code was stopped, or the sandbox itself failed."""

    code = "SANDBOX_FAILED"


class SandboxTimeout(SandboxError):
    """Wall-clock limit reached."""

    code = "SANDBOX_TIMEOUT"


class SandboxMemory(SandboxError):
    """Memory limit reached."""

    code = "SANDBOX_MEMORY"


class SandboxFuel(SandboxError):
    """Instruction budget (fuel) used up."""

    code = "SANDBOX_FUEL"


class SandboxStack(SandboxError):
    """Stack limit reached."""

    code = "SANDBOX_STACK"


class SandboxOutput(SandboxError):
    """Output limit reached."""

    code = "SANDBOX_OUTPUT"


class SandboxDisk(SandboxError):
    """A writable grant grew over its limit."""

    code = "SANDBOX_DISK"


class SandboxDenied(SandboxError):
    """A path, grant or capability that was not given."""

    code = "SANDBOX_DENIED"


class SandboxProtocol(SandboxError):
    """The guest's result envelope is forged or broken."""

    code = "SANDBOX_PROTOCOL"


class SandboxCrashed(SandboxError):
    """The worker process died; it has been replaced."""

    code = "SANDBOX_CRASHED"
    retryable = True


class SandboxBusy(SandboxError):
    """No worker became free in time."""

    code = "SANDBOX_BUSY"
    retryable = True


class SandboxUnbuilt(SandboxError):
    """The sandbox runtime is not built; run `multiagent sandbox build`."""

    code = "SANDBOX_UNBUILT"


class ToolError(PlatformError):
    """A tool failed; agents see this as an observation."""

    code = "TOOL_FAILED"


class ToolUnknown(ToolError):
    """No such tool, or not one this agent may see."""

    code = "TOOL_UNKNOWN"


class ToolArguments(ToolError):
    """Arguments do not fit the tool's schema."""

    code = "TOOL_ARGUMENTS"


class ToolTimeout(ToolError):
    """The tool did not finish within its time."""

    code = "TOOL_TIMEOUT"


class EffectUnknown(ToolError):
    """A non-idempotent tool was interrupted: whether its effect happened is not known. A person must decide."""

    code = "EFFECT_UNKNOWN"
