"""Runs a program of this folder, or another by its whole path, until this process's standard input closes.

    launch.py PROGRAM [ARGUMENT…]

The testbed starts this as the leader of a process group of its own. The program, and whatever it starts, such as the
emulator's Lambda functions, are members of that group. When the testbed ends, in whatever way, SIGKILL included, the
kernel closes its end of the pipe, and the whole group is killed: no process stays behind.

    line "stop"   end the program with SIGTERM, which lets the emulator write its state, and then the group
    end of input  kill the group
"""

import os
import signal
import subprocess
import sys
import threading

FOLDER = os.path.dirname(os.path.abspath(__file__))


def kill_group() -> None:
    os.killpg(0, signal.SIGKILL)  # This process included.


def kill_group_after(program: subprocess.Popen) -> None:
    program.wait()
    kill_group()


def main(name: str, *arguments: str) -> None:
    python = [sys.executable] if name.endswith(".py") else []
    program = subprocess.Popen([*python, os.path.join(FOLDER, name), *arguments], stdin=subprocess.DEVNULL)
    threading.Thread(target=kill_group_after, args=(program,), daemon=True).start()
    for line in sys.stdin:
        if line.strip() == "stop":
            program.terminate()
    kill_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
