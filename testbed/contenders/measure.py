"""Runs a command, and says what it took.

    measure.py COMMAND [ARGUMENT…]

Its last line is JSON: the command's exit status, how long it ran, how much processor time it and all that it started
took, and how large the largest of these processes became. What the command prints goes to standard error.

The benchmark starts this as the leader of a process group of its own, and holds one end of its standard input. When the
benchmark ends, in whatever way, SIGKILL included, the kernel closes that end, and the whole group is killed: no process
stays behind. A small process measures better, too: on Linux, a process's peak is at least what its parent had when it
started it.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

# Linux counts in kB, macOS in bytes.
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


def kill_group_at_end_of_input() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)  # This process included.


def main(*command: str) -> None:
    threading.Thread(target=kill_group_at_end_of_input, daemon=True).start()
    began = time.monotonic()
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    status = program.wait()
    wall_s = time.monotonic() - began
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "status": status,
                "wall_s": wall_s,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_bytes": usage.ru_maxrss * PEAK_UNIT,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
