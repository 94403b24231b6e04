"""OUT/README.md: the results of a check for people."""
import datetime
import json
import os
import subprocess


def read(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine(steps, options):
    query = "name,driver_version,memory.total"
    device = read([steps.which("nvidia-smi") or "nvidia-smi", f"--query-gpu={query}",
                   "--format=csv,noheader", "--id=0"])
    commit = options.commit or read(["git", "-C", steps.root, "rev-parse", "--short", "HEAD"])
    cuda = read([steps.which("nvcc") or "nvcc", "--version"]).splitlines()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [("date", datetime.date.today().isoformat()), ("device", device or "unknown"),
            ("CUDA", cuda[-1] if cuda else "unknown"), ("commit", commit or "unknown"),
            ("CPU cores", str(os.cpu_count())), ("host memory", f"{memory:.0f} GiB")]


def benchmark_table(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        try:
            runs = json.load(file)["benchmarks"]
        except ValueError:
            return ["", "The benchmark left no whole JSON file."]
    lines = ["", "## Benchmarks", "",
             "Device time; `share` is the least time that the limits of the same run allow over "
             "the time taken.", "",
             "| operation | µs | GB/s | TFLOP/s | share |", "|---|---|---|---|---|"]
    for run in runs:
        name = run["name"].split("/iterations:")[0]
        if run.get("error_occurred"):
            lines.append(f"| {name} | {run['error_message']} | | | |")
            continue
        def number(key, digits):
            return f"{run[key]:.{digits}f}" if key in run else ""
        time = "" if name.startswith("limit/") else number("real_time", 1)
        lines.append(f"| {name} | {time} | {number('GB/s', 0)} | {number('TFLOP/s', 1)} "
                     f"| {number('share', 2)} |")
    return lines


def tiers_table(steps):
    lines = [line for line in steps.lines("tiers") if not line.startswith("compare_tiers:")]
    return ["", "## Training with rows in several tiers", "", *lines] if lines else []


def last_lines(steps, title, prefixes):
    """A section of the last line of each step whose name starts so."""
    found = [step for step in steps.done if step["name"].startswith(prefixes)]
    if not found:
        return []
    lines = ["", f"## {title}", ""]
    for step in found:
        lines += [f"{step['name']}:", "", "```", step["said"], "```", ""]
    return lines[:-1]


def write_page(steps, options):
    lines = ["# Results of tools/gpu_check", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in machine(steps, options)]
    lines += ["", "## Steps", "", "| step | result | seconds | last line |", "|---|---|---|---|"]
    for step in steps.done:
        said = step["said"].replace("|", "\\|")[:160]
        result = "passed" if step["passed"] else "FAILED"
        lines.append(f"| {step['name']} | {result} | {step['seconds']:.0f} | {said} |")
    lines += tiers_table(steps)
    lines += last_lines(steps, "A table of 8192^2 rows x 2048", "open-")
    lines += last_lines(steps, "From disk into device memory", "disk-")
    lines += benchmark_table(steps.file("benchmark.json"))
    with open(steps.file("README.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
