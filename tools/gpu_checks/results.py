"""What came of the steps of a check: OUT/results.json, OUT/README.md and OUT/logs.tar.gz. Nothing
else is in OUT, so that a machine that gives few files back gives all of them."""
import json
import os
import re
import tarfile
import time

from gpu_checks import page, processes

# Of a longer log, its beginning and its end.
MOST_LOG_BYTES = 2**19
# Of a step that failed, so many lines are on the page, from one with one of these words.
MOST_LINES = 20
TELLING = r"Failure$|\bFAILED\b|^error|\berror:|ERROR SUMMARY|=+ (Invalid|Error|Race)|Not measured"

# How far a step got.
RANKS = {"passed": 3, "failed": 3, "cut": 2, "not started": 1, "skipped": 0}


def benchmarks_of(text):
    """The benchmarks in the JSON that gpu_benchmark writes; of a program that was cut off, those
    that it had done."""
    try:
        return json.loads(text)["benchmarks"]
    except (ValueError, KeyError):
        pass
    begin = text.find('"benchmarks": [')
    end = text.rfind("}", 0, text.rfind("\n"))
    while begin >= 0 and end > begin:
        try:
            return json.loads("{" + text[begin:end + 1] + "]}")["benchmarks"]
        except ValueError:
            end = text.rfind("}", 0, end)
    return []


def said_of_tests(lines):
    """A line that names the tests that failed; empty when the program is no test."""
    names = [line.split()[3].rstrip(",") for line in lines if line.startswith("[  FAILED  ] ")]
    names = [name for name in dict.fromkeys(names) if "." in name]
    return f"{len(names)} tests failed: {', '.join(names)}" if names else ""


def lines_that_tell(lines):
    """The lines of a program's log from the first that tells of an error, or else the last ones."""
    first = next((index for index, line in enumerate(lines) if re.search(TELLING, line)), None)
    begin = max(0, len(lines) - MOST_LINES) if first is None else first
    return [line[:300] for line in lines[begin:begin + MOST_LINES]]


class Results:
    def __init__(self, out, machine, call):
        """call: names and values that say what was asked for."""
        self.out, self.machine = os.path.abspath(out), machine
        self.data = {"calls": [call], "facts": {}, "steps": [], "benchmarks": []}
        os.makedirs(self.out, exist_ok=True)

    def add(self, part, step, state, seconds, said):
        entry = {"part": part.name, "step": step.name, "state": state,
                 "seconds": round(seconds, 1),
                 "expected": round(step.seconds * self.machine.patience, 1), "said": said[:500]}
        if state in ("passed", "failed", "cut"):
            self.keep(step, entry)
        if state in ("failed", "cut"):
            lines = processes.read_lines(self.machine.log(step))
            entry["why"] = lines_that_tell(lines)
            said = entry["said"] = said_of_tests(lines) or entry["said"]
        self.data["steps"].append(entry)
        print(f"gpu_check: {step.name} {state}" + (f" in {seconds:.0f} s" if seconds else "")
              + (f": {said[:200]}" if state != "passed" else ""), flush=True)

    def keep(self, step, entry):
        """What the step wants kept of its output."""
        lines = processes.read_lines(self.machine.log(step))
        if step.keeps == "text":
            entry["text"] = "\n".join(lines)[:8000]
        elif step.keeps == "object":
            try:
                entry["object"] = json.loads(lines[-1])
            except (IndexError, ValueError):
                pass  # it failed before it printed one; its last line is kept
        elif step.keeps:
            text = "\n".join(processes.read_lines(self.machine.file(step.keeps)))
            if step.name.startswith("benchmark-"):
                self.data["benchmarks"] += [{**run, "step": step.name}
                                            for run in benchmarks_of(text)]
            elif entry["state"] == "passed":
                self.data["facts"].update(json.loads(text))

    def failed(self):
        return [step["step"] for step in self.data["steps"]
                if step["state"] in ("failed", "cut", "not started")]

    def save(self):
        """Everything so far, after each part: the check itself may be ended from outside."""
        write(self.out, self.data)
        logs = sorted(name for name in os.listdir(self.machine.work)
                      if os.path.isfile(self.machine.file(name)))
        with tarfile.open(os.path.join(self.out, "logs.tar.gz"), "w:gz") as archive:
            for name in logs:
                shorten(self.machine.file(name))
                archive.add(self.machine.file(name), "logs/" + name)


def shorten(path):
    """Leaves the beginning and the end of a long log."""
    size = os.path.getsize(path)
    if size <= MOST_LOG_BYTES or not path.endswith(".log"):
        return
    with open(path, "rb+") as file:
        file.seek(size - MOST_LOG_BYTES // 2)
        end = file.read()
        file.seek(MOST_LOG_BYTES // 2)
        file.write(b"\n... bytes left out ...\n" + end)
        file.truncate()


def write(out, data):
    with open(os.path.join(out, "results.json"), "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
    with open(os.path.join(out, "README.md"), "w", encoding="utf-8") as file:
        file.write(page.page(data))


def join(folders, out):
    """One page of the results of several calls. A step counts in the last call in which it ended,
    or else in the one in which it got furthest."""
    joined = {"calls": [], "facts": {}, "steps": [], "benchmarks": []}
    steps, benchmarks = {}, {}
    for folder in folders:
        with open(os.path.join(folder, "results.json"), encoding="utf-8") as file:
            data = json.load(file)
        joined["calls"] += data["calls"]
        joined["facts"].update(data["facts"])
        for step in data["steps"]:
            other = steps.get(step["step"])
            if not other or RANKS[step["state"]] >= RANKS[other["state"]]:
                steps[step["step"]] = step
        benchmarks.update({run["name"]: run for run in data["benchmarks"]})
    joined["steps"], joined["benchmarks"] = list(steps.values()), list(benchmarks.values())
    os.makedirs(out, exist_ok=True)
    write(out, joined)


def call_of(options, machine, commit):
    return {"date": time.strftime("%Y-%m-%d %H:%M:%S %Z"), "device": machine.device,
            "commit": commit, "memory": f"{machine.memory / 2**30:.0f} GiB" if machine.memory
            else "what the machine says", "seconds": options.seconds,
            "parts": [part.name for part in options.parts]}
