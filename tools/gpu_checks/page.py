"""The results of a check for people: one page."""


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
                    for row in rows]


def number(run, key, digits):
    return f"{run[key]:.{digits}f}" if key in run else ""


def name_of(run):
    return run["name"].split("/iterations:")[0]


def calls(data):
    lines = []
    for call in data["calls"]:
        lines.append("")
        lines.append(f"{call['date']}, commit {call['commit'] or 'unknown'}, device "
                     f"{call['device']}, host memory for runs {call['memory']}, at most "
                     f"{call['seconds']:.0f} s: {', '.join(call['parts'])}.")
    if any(call["device"] != "cuda" for call in data["calls"]):
        lines += ["", "**Not on a GPU: times and rates say nothing.**"]
    return lines


def steps(data):
    count = {}
    for step in data["steps"]:
        count[step["state"]] = count.get(step["state"], 0) + 1
    rows = [(step["part"], step["step"],
             step["state"] if step["state"] in ("passed", "skipped") else f"**{step['state']}**",
             f"{step['seconds']:.0f}", f"{step['expected']:.0f}", step["said"][:160])
            for step in data["steps"]]
    return ["", "## Parts", "", ", ".join(f"{number} {state}" for state, number in count.items()),
            "", *table(("part", "step", "result", "seconds", "expected", "last line"), rows)]


def benchmarks(data):
    if not data["benchmarks"]:
        return []
    rows = []
    for run in data["benchmarks"]:
        if run.get("error_occurred"):
            rows.append((name_of(run), run["error_message"], "", "", "", "", ""))
            continue
        time = "" if name_of(run).startswith("limit/") else number(run, "real_time", 1)
        rows.append((name_of(run), time, number(run, "GB/s", 0), number(run, "limit_GB/s", 0),
                     number(run, "TFLOP/s", 1), number(run, "limit_TFLOP/s", 0),
                     number(run, "share", 2)))
    return ["", "## Operations", "",
            "Device time. The limits are those of the same run: of copies in device memory or over "
            "the bus, and of a large bf16 product. `share` is the least time that they allow over "
            "the time taken.", "",
            *table(("operation", "µs", "GB/s", "limit", "TFLOP/s", "limit", "share"), rows)]


def limit(data, name, counter):
    """A limit that was measured; 0 without one."""
    return next((run.get(counter, 0) for run in data["benchmarks"] if name_of(run) == name), 0)


def models(data):
    """Whole steps, with the share of the product limit that their products alone would take."""
    flops = limit(data, "limit/bf16_product_8192", "TFLOP/s")
    rows = []
    for step in data["steps"]:
        found = step.get("object")
        if not found:
            continue
        rate = 1e-12 * found.get("flops_per_token", 0) * found["mean_tokens_per_s"]
        stalls = ", ".join(f"{cause} {value:.2f}"
                           for cause, value in found.get("stall_ms", {}).items() if value > 0)
        rows.append((step["step"], f"{found['mean_tokens_per_s']:.0f}", f"{found['step_ms']:.1f}",
                     f"{rate:.1f}" if rate else "", f"{flops:.0f}" if flops else "",
                     f"{rate / flops:.2f}" if rate and flops else "",
                     f"{found['open_s']:.1f}", stalls))
    if not rows:
        return []
    return ["", "## Training steps", "",
            "TFLOP/s are those of the model's products, forward and backward, beside the large "
            "bf16 product.", "",
            *table(("step", "tokens/s", "step ms", "TFLOP/s", "limit", "share", "opened in s",
                    "stalls, ms a step"), rows)]


def texts(data):
    lines = []
    for step in data["steps"]:
        if step.get("text"):
            body = [line for line in step["text"].splitlines()
                    if not line.startswith("compare_tiers:")]
            is_table = any(line.startswith("|") for line in body)
            lines += ["", f"## {step['step']}", "", *(body if is_table else ["```", *body, "```"])]
    return lines


def failures(data):
    lines = []
    for step in data["steps"]:
        if step.get("why"):
            lines += ["", f"## {step['step']} {step['state']}", "", "```", *step["why"], "```"]
    return lines


def page(data):
    lines = ["# Results of tools/gpu_check", *calls(data), "",
             *table(("", ""), data["facts"].items())]
    lines += steps(data) + failures(data) + benchmarks(data) + models(data) + texts(data)
    return "\n".join(lines) + "\n"
