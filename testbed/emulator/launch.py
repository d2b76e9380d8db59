"""Runs the emulator for as long as somebody holds this process's standard input open.

The testbed starts this as the leader of a process group of its own. The emulator, and the Lambda functions that
the emulator starts, are members of that group. When the testbed ends, in whatever way, SIGKILL included, the
kernel closes its end of the pipe, and the whole group is killed: no process stays behind.

    line "stop"   end the emulator with SIGTERM, which lets it write its state, and then the group
    end of input  kill the group
"""

import os
import signal
import subprocess
import sys
import threading

SERVE = os.path.join(os.path.dirname(__file__), "serve.py")


def kill_group() -> None:
    os.killpg(0, signal.SIGKILL)  # This process included.


def kill_group_after(emulator: subprocess.Popen) -> None:
    emulator.wait()
    kill_group()


def main() -> None:
    emulator = subprocess.Popen([sys.executable, SERVE], stdin=subprocess.DEVNULL)
    threading.Thread(target=kill_group_after, args=(emulator,), daemon=True).start()
    for line in sys.stdin:
        if line.strip() == "stop":
            emulator.terminate()
    kill_group()


if __name__ == "__main__":
    main()
