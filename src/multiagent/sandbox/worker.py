"""A worker process: it loads the component once, then runs the programs it is sent, one after the other.

Started as ``python -I -c BOOT root artifact`` with an empty environment. It speaks ``frames`` on the socket it was
born with, and ends when that closes or when its parent is gone.
"""

import os
import resource
import sys
from pathlib import Path

import msgspec

from multiagent.sandbox import frames
from multiagent.sandbox.frames import Job, Ready

BOOT = (
    "import sys; sys.path.append(sys.argv[1]); from multiagent.sandbox.worker import main; sys.exit(main(sys.argv[2]))"
)


def main(artifact: str) -> int:
    """Serve until the parent closes its end."""
    incoming, outgoing = _take_channel()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parent = os.getppid()

    def leave_with_parent() -> None:
        if os.getppid() != parent:
            os._exit(0)

    with os.fdopen(incoming, "rb") as jobs, os.fdopen(outgoing, "wb") as replies:
        try:
            from multiagent.sandbox.wasi import Guest

            guest = Guest(Path(artifact), leave_with_parent)
        except Exception as error:  # noqa: BLE001 - the worker's top: its parent gets the reason, whatever it is
            replies.write(frames.encode(Ready(problem=f"{type(error).__name__}: {error}")))
            return 1
        replies.write(frames.encode(Ready()))
        replies.flush()
        guest.prepare()
        decoder = msgspec.msgpack.Decoder(Job)
        while (body := frames.read_exactly(jobs)) is not None:
            job = decoder.decode(body)
            _limit_files(job.file_bytes)
            reply = guest.run(job)
            replies.write(frames.encode(reply))
            replies.flush()
            if reply.spent:
                return 0
            guest.prepare()
    return 0


def _take_channel() -> tuple[int, int]:
    """Keep the socket for frames alone: what anything prints goes to the error log, and there is no input."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return incoming, outgoing


def _limit_files(size: int) -> None:
    """No file written by this process may grow over ``size`` bytes; a write over it fails with EFBIG."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    soft = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
