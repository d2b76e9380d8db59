"""Functions in MiniStack: their events, at once, and their logs, complete.

MiniStack hands an event to a function in two writes, headers first, and the kernel keeps the second one back until the
first is acknowledged, which the function's side puts off: 40 ms of each invocation, on an idle machine as well.

MiniStack reads what a function prints on a thread of its own, and gives that thread some milliseconds after the
function's answer. On a busy machine this is not enough: an invocation's last lines, metrics among them, are logged with
the next invocation of the same process, and at the end of a run never. Here all that was printed before an answer is
read before the answer is handled, as Lambda does.
"""

import http.server
import os
import select
import threading

from ministack.core import lambda_runtime

from pinned import require


require(lambda_runtime.ProvidedWorker, "_pump_output", "_drain_stderr_bounded", "_drain_stderr")


class Worker(lambda_runtime.ProvidedWorker):
    """A process of a function."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._reading = threading.Lock()
        self._unfinished_line = b""

    def _pump_output(self, stream, log_queue) -> None:
        """Reads while the function is at work, so that the pipe does not fill up."""
        self._unfinished_line = b""  # Not the last line of a process that this one follows.
        while self._read_printed(stream, log_queue):
            select.select([stream], [], [])
        with self._reading:
            stream.close()

    def _drain_stderr_bounded(self, **_waits) -> str:
        """All that was printed so far and is not logged yet."""
        process = self._proc
        if process is not None:
            self._read_printed(process.stdout, self._stderr_queue)
        return self._drain_stderr()

    def _read_printed(self, stream, log_queue) -> bool:
        """Puts the lines that are in the pipe into the queue. False once the process has closed its end."""
        with self._reading:
            while not stream.closed and select.select([stream], [], [], 0)[0]:
                printed = os.read(stream.fileno(), 65536)
                if not printed:
                    return False
                *lines, self._unfinished_line = (self._unfinished_line + printed).split(b"\n")
                for line in lines:
                    if log_queue.full():
                        log_queue.get_nowait()
                    log_queue.put_nowait(line.decode("utf-8", errors="replace"))
            return not stream.closed


lambda_runtime.ProvidedWorker = Worker
http.server.BaseHTTPRequestHandler.disable_nagle_algorithm = True
