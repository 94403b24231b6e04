"""The steps of a check: programs that are run into logs, and what came of them. Kept in
OUT/steps.json, so that a check may be done in several calls."""
import json
import os
import shutil
import signal
import subprocess
import time


class Steps:
    def __init__(self, root, out, build):
        self.root, self.out, self.build = root, os.path.abspath(out), os.path.abspath(build)
        self.environment = dict(os.environ)
        self.environment["PATH"] += ":/usr/local/cuda/bin"
        self.part = ""
        self.done = []  # of all calls so far
        os.makedirs(self.out, exist_ok=True)
        os.makedirs(self.build, exist_ok=True)
        try:
            with open(self.file("steps.json"), encoding="utf-8") as file:
                self.done = json.load(file)
        except (OSError, ValueError):
            pass  # the first call, or one that was cut off while it wrote

    def file(self, name):
        return os.path.join(self.out, name)

    def program(self, name):
        return os.path.join(self.build, name)

    def which(self, name):
        return shutil.which(name, path=self.environment["PATH"])

    def begin(self, part):
        """The steps to come are of this part, instead of those of an earlier call."""
        self.part = part
        self.done = [step for step in self.done if step["part"] != part]

    def step(self, name, command, seconds, environment=None):
        """Runs a command into OUT/NAME.log for so many seconds at most. True when it succeeded."""
        print(f"gpu_check: {name} ...", end="", flush=True)
        start = time.monotonic()
        with open(self.file(name + ".log"), "w", encoding="utf-8") as file:
            status = self.wait(subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT,
                                                cwd=self.root, start_new_session=True,
                                                env={**self.environment, **(environment or {})}),
                               seconds)
        took = time.monotonic() - start
        lines = [line.strip() for line in self.lines(name) if line.strip()]
        said = lines[-1] if lines else ""
        passed = status == 0
        self.done.append({"part": self.part, "name": name, "passed": passed, "seconds": took,
                          "said": said if passed else f"{status}: {said}"})
        with open(self.file("steps.json"), "w", encoding="utf-8") as file:
            json.dump(self.done, file, indent=1)
        print(f" {'passed' if passed else 'FAILED'} in {took:.0f} s", flush=True)
        return passed

    @staticmethod
    def wait(process, seconds):
        """The exit status. Ends the program and those that it started when time is over."""
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return "time-out"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def lines(self, name):
        """The lines of a step's log; none when it was not run."""
        try:
            with open(self.file(name + ".log"), encoding="utf-8", errors="replace") as file:
                return file.read().splitlines()
        except OSError:
            return []
