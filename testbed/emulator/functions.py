"""Functions in MiniStack: their events, at once, and their logs, complete.

MiniStack hands an event to a function in two writes, headers first, and the kernel keeps the second one back until the
first is acknowledged, which the function's side puts off: 40 ms of each invocation, on an idle machine as well.

MiniStack reads what a function prints on a thread of its own, and gives that thread some milliseconds after the
function's answer. On a busy machine this is not enough: an invocation's last lines, metrics among them, are logged with
the next invocation of the same process, and at the end of a run never. Here all that was printed before an answer is
read before the answer is handled, as Lambda does.

MiniStack logs what a function prints as it is. Lambda does not, where the log format is JSON: it wraps what is not JSON, and takes
a line without a valid timestamp for one of level INFO (Lambda developer guide, "Log-level filtering").
"""

import datetime
import http.server
import json
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
                    text = self._as_lambda_logs(line.decode("utf-8", errors="replace"))
                    if text is None:
                        continue
                    if log_queue.full():
                        log_queue.get_nowait()
                    log_queue.put_nowait(text)
            return not stream.closed

    def _as_lambda_logs(self, text: str) -> str | None:
        """The line as it reaches CloudWatch Logs, if its level does."""
        logging = self.config.get("LoggingConfig") or {}
        if logging.get("LogFormat") != "JSON":
            return text
        line = _json_object(text)
        if line is None:
            line = {"timestamp": _now(), "level": "INFO", "message": text}
        elif not _is_rfc_3339(line.get("timestamp")):
            line = {**line, "timestamp": _now(), "level": "INFO"}
        level = str(line.get("level", "INFO")).upper()
        lowest = logging.get("ApplicationLogLevel") or "INFO"
        if _LEVELS.index(level if level in _LEVELS else "INFO") < _LEVELS.index(lowest):
            return None
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


_LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]


def _json_object(text: str) -> dict | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _is_rfc_3339(timestamp) -> bool:
    try:
        return datetime.datetime.fromisoformat(timestamp.replace("Z", "+00:00")).tzinfo is not None
    except (AttributeError, ValueError):
        return False


def _now() -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03}Z"


lambda_runtime.ProvidedWorker = Worker
http.server.BaseHTTPRequestHandler.disable_nagle_algorithm = True
