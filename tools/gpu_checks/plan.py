"""The parts of a check, in order of what is worth most, in two halves: each is for one command of
less than ten minutes. The seconds are those expected on an H100 or H200 with 16 cores."""
import os
import sys

from gpu_checks import measurements as measure
from gpu_checks import pack
from gpu_checks.steps import Part, Step
from gpu_checks.suites import suite, watched


def facts(seconds):
    def command(machine):
        return [sys.executable, os.path.join(os.path.dirname(__file__), "facts.py"),
                machine.file("facts.json"), machine.python]
    return Step("facts", seconds, command, keeps="facts.json")


def build(arguments):
    """The part that stands in for --packed: builds the same programs where they run."""
    def configuring(machine):
        # Compilers that the project was not written with warn of other things.
        return pack.configure(machine.root, machine.build, "",
                              arguments=["-DMNEME_EMULATE_CUDA=OFF", "-DMNEME_WERROR=OFF",
                                         *arguments])
    def building(machine):
        return ["cmake", "--build", machine.build, "--target", *pack.targets()]
    return Part("build", "the programs, where none are given with --packed",
                (Step("configure", 30, configuring), Step("build", 170, building)))


FIRST = [
    Part("facts", "versions, memory, pinning, NUMA; limits of copies and products",
         (facts(12), measure.benchmark("limits", 15, measure.LIMITS))),
    Part("conformance", "key, row, residency and dense operations",
         (suite("key_ops", 15), suite("row_ops", 25), suite("residency_ops", 15),
          suite("dense_ops", 25)), together=True),
    Part("order", "streams, and transfers beside compute",
         (suite("streams", 10), suite("offload", 10, "*Order*", "offload-order")), together=True),
    Part("memcheck", "some shapes of every operation under compute-sanitizer",
         tuple(watched("memcheck", name, 40)
               for name in ("key_ops", "row_ops", "residency_ops", "dense_ops")), together=True),
    Part("benchmarks", "operations beside the limits of the same run",
         (measure.benchmark("keys", 15, measure.BENCHMARKS["keys"]),
          measure.benchmark("rows", 35, measure.BENCHMARKS["rows"]),
          measure.benchmark("attention", 10, measure.BENCHMARKS["attention"]),
          measure.benchmark("plan", 20, measure.BENCHMARKS["plan"]))),
    Part("models", "steps of 134M models, dense and Memory+, and PyTorch's",
         (measure.model("134m-dense", 15), measure.model("134m-memory-1024", 20),
          measure.pytorch(60))),
    Part("tiers", "training with all and with 25% of 4.2M rows x 384 in HBM",
         (measure.compare_tiers("tiers", ("all", "device-25"), 75),)),
]
SECOND = [
    Part("suites", "the other suites: golden files, tables, models, checkpoints, training",
         tuple(suite(name, seconds) for name, seconds in (
             ("golden_rows", 10), ("memory_layer", 20), ("value_table", 60), ("offload", 60),
             ("golden_model", 10), ("model", 30), ("moe_part", 5), ("optimizer", 10),
             ("parameters", 10), ("sampler", 10), ("formats", 10), ("checkpoint", 20),
             ("trainer", 70),
             ("trainer_kinds", 10))),
         together=True),
    Part("other-benchmarks", "the operations that the first half left out",
         (measure.benchmark("other", 75, measure.all_others()),)),
    Part("other-tiers", "training with 50 and with 10% of the rows in HBM, beside all",
         (measure.compare_tiers("other-tiers", ("all", "device-50", "device-10"), 90),)),
    Part("racecheck", "the operations of part memcheck",
         tuple(watched("racecheck", name, 50)
               for name in ("key_ops", "row_ops", "residency_ops", "dense_ops")), together=True),
    Part("open", "a table of 67M rows x 2048: opening, and 20 steps", (measure.opening(50),)),
    Part("disk", "rows from the disk into HBM, beside fio where it is",
         (measure.disk(5120, 20), measure.disk(12288, 20))),
    Part("disk-tier", "training with 10% of the rows in HBM, 30% in host memory, the rest on disk",
         (measure.compare_tiers("disk-tier", ("all", "device-10-host-30"), 60,
                                ("--warm-up", "20", "--steps", "10")),)),
]
PARTS = {part.name: part for part in FIRST + SECOND}


def seconds_of(parts):
    return sum(part.seconds for part in parts)


def with_benchmarks(parts, pattern):
    """The parts with the benchmarks whose names match, in place of those of part benchmarks."""
    step = measure.benchmark("chosen", 60, pattern)
    return [Part(part.name, part.what, (step,)) if part.name == "benchmarks" else part
            for part in parts if part.name != "other-benchmarks"]


def chosen(parts, pattern):
    """The parts with those of their steps whose names match a compiled expression."""
    found = []
    for part in parts:
        steps = tuple(step for step in part.steps if pattern.search(step.name))
        if steps:
            found.append(Part(part.name, part.what, steps, part.together))
    return found


def table():
    """The lines of --list."""
    lines = []
    for title, option, parts in (("first half", "--first", FIRST),
                                 ("second half", "--second", SECOND)):
        lines.append(f"{option}: {title}, {seconds_of(parts):.0f} s expected")
        for part in parts:
            how = "at once" if part.together else "one after the other"
            lines.append(f"  {part.name:17} {part.seconds:4.0f} s  {part.what}")
            times = ", ".join(f"{step.name} {step.seconds:.0f}" for step in part.steps)
            lines.append(f"  {'':17}         {how}: {times}")
    return lines
