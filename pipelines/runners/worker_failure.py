"""Explains why a worker died, on this machine or on a cluster, as an error that says what to do."""

import os
import re
import signal

from tamis.pipelines.run.run_lock import in_use
from tamis.pipelines.runners import worker
from tamis.transforms.core.errors import RunError


def explain_death(code: int) -> RunError:
    """The error for workers of this machine that ended with the exit code `code` (a signal: negative,
    or 128 more)."""
    code = 128 - code if code > 128 else code
    # Only a person or the out-of-memory killer sends SIGKILL.
    if code == -signal.SIGKILL:
        return RunError(
            "a worker process was killed (SIGKILL), most often because the machine ran out of memory. "
            "The same command goes on where it stopped; fewer --workers need less memory"
        )
    signals = {number.value: number.name for number in signal.Signals}
    ending = f"by signal {signals.get(-code, -code)}" if code < 0 else f"with exit code {code}"
    return RunError(
        f"a worker process ended {ending}. The same command goes on where it stopped; "
        "if it happens again, --workers 1 runs in this process and shows the error itself"
    )


def explain_failure(text: str, command: str, run: str, endpoint: str) -> RunError | None:
    """The error for a traceback `text` if its cause is in the cluster; None for other causes."""
    code = re.search(r"Process died with exit code (\d+)", text)
    if code and int(code[1]) == worker.NOT_SHARED:
        return RunError(
            f"a node of the cluster does not see '{run}' or the folder {os.getcwd()}: every node must see both under the same "
            "path. Use a shared file system, or an object store"
        )
    if code and int(code[1]) == worker.BUSY:
        return in_use(run)
    if code:
        return RunError(
            f"a worker could not start (exit code {code[1]}): run `{command} --help` on the cluster's nodes to see why, or "
            "name the command with --option worker=…"
        )
    # Java does not always name the program.
    if re.search(r"java.io.IOException: (Cannot run program .*)?error=(2|13),", text):
        return RunError(
            f"the cluster's nodes have no {command}: install Tamis there too, or name its command with --option worker=…"
        )
    if "StatusCode.UNAVAILABLE" in text or "StatusCode.CANCELLED" in text:
        return RunError(f"the job server {endpoint} is gone. The same command goes on where the run stopped")
    return None
