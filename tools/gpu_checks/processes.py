"""Programs that run into logs, at once if there are several, until they end or time is over."""
import os
import signal
import subprocess
import time
from dataclasses import dataclass


@dataclass
class Finished:
    status: int  # exit status; None when the program was ended because time was over
    seconds: float
    last_line: str


def read_lines(path):
    """The lines of a log; none where there is no log."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def last_line(path):
    lines = [line.strip() for line in read_lines(path) if line.strip()]
    return lines[-1] if lines else ""


class Process:
    """One program, in a session of its own so that what it starts ends with it."""

    def __init__(self, command, log, folder, environment):
        self.log, self.start = log, time.monotonic()
        with open(log, "w", encoding="utf-8") as file:
            # Through env, a program that is not there is one that fails.
            self.child = subprocess.Popen(["env", *command], stdin=subprocess.DEVNULL, stdout=file,
                                          stderr=subprocess.STDOUT, cwd=folder, env=environment,
                                          start_new_session=True)

    def running(self):
        return self.child.poll() is None

    def end(self):
        """Ends the program, if it still runs, with all that it started."""
        if self.running():
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def finished(self, cut):
        return Finished(None if cut else self.child.returncode, time.monotonic() - self.start,
                        last_line(self.log))


def run_together(starts, limit, at_once, clock=time.monotonic):
    """Runs programs, at most so many at once, for `limit` seconds in all. starts: functions that
    start a Process. Returns Finished for each, None for those that were not started."""
    results = [None] * len(starts)
    waiting, running, begin = list(enumerate(starts)), {}, clock()
    try:
        while waiting or running:
            over = clock() - begin >= limit
            while waiting and len(running) < at_once and not over:
                index, start = waiting.pop(0)
                running[index] = start()
            for index, process in list(running.items()):
                cut = process.running() and over
                if process.running() and not cut:
                    continue
                process.end()
                results[index] = process.finished(cut)
                del running[index]
            if over:
                return results
            time.sleep(0.02)
        return results
    finally:
        for process in running.values():
            process.end()
