"""The steps of a check that measure: benchmarks of operations, steps of models, and training with
rows in several tiers."""
import os
import shlex
import subprocess

from gpu_checks.machine import GIB
from gpu_checks.steps import Skip, Step

# Benchmarks of the first parts, by step; "other" runs all that these leave out.
BENCHMARKS = {
    "keys": "^(key_scores|product_keys)/",
    "rows": "^(gather_rows/bf16|row_backward|(un)?pack_(and_pack_)?records/12_KiB)",
    "attention": "^attention",
    "plan": "^step_plan/",
}
LIMITS = "^limit/"

SHAPE_134M = ["--vocabulary", "32000", "--width", "768", "--blocks", "12", "--heads", "12",
              "--kv-heads", "12", "--hidden", "2048", "--batch", "16", "--sequence", "2048"]
# Of the device memory, what runs without tiers leave to profilers.
DEVICE_RESERVE = 8 * GIB

# What makes a model small enough for the emulator.
TINY_MODEL = ["model.width=64", "model.attention_heads=1", "model.kv_heads=1", "model.blocks=2",
              "model.feed_forward_hidden=64", "train.sequence=512", "run.arena_bytes=1GiB"]
TINY_MEMORY = ["model.feed_forward=memory@1", "memory.key_width=32"]
TINY_TIERS = TINY_MODEL + TINY_MEMORY
TINY_SCALE = "64"


def settings(pairs):
    return [word for pair in pairs for word in ("--set", pair)]


def benchmark(name, seconds, pattern):
    """The benchmarks of operations whose names match; without those when it begins with '-'."""
    def command(machine):
        if machine.device == "cpu":
            raise Skip("operations are timed on a GPU")
        return [machine.program("tests/gpu_benchmark/gpu_benchmark"),
                "--benchmark_filter=" + pattern, "--benchmark_out_format=json",
                "--benchmark_out=" + machine.file(f"benchmark-{name}.json")]
    # The emulator clears the memory that each benchmark takes, all there is.
    return Step(f"benchmark-{name}", seconds, command, {"MNEME_EMULATED_MEMORY_MIB": "258"},
                f"benchmark-{name}.json")


def all_others():
    return "-" + "|".join([LIMITS, *BENCHMARKS.values()])


def model(config, seconds):
    """Steps of a 134M model."""
    memory = "memory" in config

    def command(machine):
        words = [machine.program("mneme"), "bench", "model", f"configs/paper/{config}.toml",
                 "--device", machine.mneme_device, "--json", "--set", "train.micro_batches=1",
                 "--set", "run.directory=" + os.path.join(machine.path, config)]
        if machine.device == "cuda":
            if device := machine.device_bytes():
                words += ["--set", f"run.arena_bytes={device - DEVICE_RESERVE}"]
            return [*words, "--steps", "10", "--set", "train.batch=16",
                    *(settings(["tiers.host_bytes=0B"]) if memory else [])]
        tiny = (["--scale", "32", *settings(TINY_TIERS)] if memory else
                settings(TINY_MODEL + ["train.batch=1", "train.sequence=64",
                                       "data.vocabulary=256"]))
        return [*words, "--steps", "1", "--warm-up", "1", *tiny]
    return Step(f"model-{config}", seconds, command, keeps="object")


def pytorch(seconds):
    """The dense model beside PyTorch's."""
    def command(machine):
        if machine.device != "cuda":
            raise Skip("it is compared on a GPU")
        found = subprocess.run(
            [machine.python, "-c", "import sys, importlib.util as u; "
             "sys.exit(u.find_spec('torch') is None)"], check=False).returncode == 0
        if not found:
            raise Skip(f"{machine.python} has no PyTorch")
        # PyTorch brings its own libraries: those of our programs are not for its process.
        loader = [f"{name}={value}" for name, value in machine.loader().items()]
        mneme = shlex.join(["env", *loader, machine.program("mneme"), "bench", "model"])
        return ["env", "-u", "LD_LIBRARY_PATH", machine.python,
                machine.tool("compare_pytorch_dense"), "--device", "cuda", "--rounds", "2",
                "--command", mneme, *SHAPE_134M]
    return Step("pytorch-dense", seconds, command, keeps="text")


def compare_tiers(name, cases, seconds, arguments=()):
    """Training with rows in several tiers, the first case with all of them on the device."""
    def command(machine):
        configs = [os.path.join(machine.root, f"configs/h200-4096-{case}.toml") for case in cases]
        words = [machine.python, machine.tool("compare_tiers"), machine.program("mneme"), *configs,
                 "--device", machine.mneme_device, "--path", machine.path, "--json",
                 machine.file(name + ".json"), *arguments]
        limits = machine.file("benchmark-limits.json")
        if os.path.exists(limits):
            words += ["--limits", limits]
        if machine.device == "cuda":
            return words + ["--scale", str(machine.tier_scale)]
        # Times mean nothing, so nothing is demanded of them.
        return words + ["--scale", TINY_SCALE, "--steps", "2", "--warm-up", "1", "--bar", "0",
                        *settings(TINY_TIERS)]
    return Step(name, seconds, command, keeps="text")


# Budgets of configs/h200-8192.toml, and what the model and the system need besides.
OPENING = {"device": 98 * GIB, "host": 80 * GIB, "disk": 50 * GIB}
BESIDE = {"device": 8 * GIB, "host": 24 * GIB, "disk": 2 * GIB}


def opening(seconds):
    """A table of 67M rows x 2048: it opens, and trains."""
    def command(machine):
        words = [machine.program("mneme"), "bench", "model", "configs/h200-8192.toml", "--device",
                 machine.mneme_device, "--token-skew", "1", "--json",
                 "--set", "run.directory=" + os.path.join(machine.path, "open-8192")]
        if machine.device != "cuda":
            return [*words, "--scale", TINY_SCALE, "--warm-up", "1", "--steps", "1",
                    *settings(TINY_TIERS + ["memory.value_width=64"])]
        free = os.statvfs(machine.path)
        there = {"device": machine.device_bytes(), "host": machine.memory,
                 "disk": free.f_bavail * free.f_frsize}
        budgets = [f"tiers.{tier}_bytes={max(GIB, min(OPENING[tier], there[tier] - BESIDE[tier]))}"
                   for tier in there]
        return [*words, "--warm-up", "2", "--steps", "18", *settings(budgets)]
    return Step("open-8192", seconds, command, keeps="object")


def disk(record, seconds):
    """Records of so many bytes from the disk into device memory, beside fio."""
    def command(machine):
        tiny = machine.device != "cuda"
        shape = ["--path", os.path.join(machine.path, "gpu_check_disk.data"), "--depth", "64",
                 "--file-bytes", str(2**24 if tiny else machine.disk_file_bytes),
                 "--record-bytes", str(record), "--seconds", "0.1" if tiny else "3",
                 "--through-store", "--device", machine.mneme_device]
        mneme = machine.program("mneme")
        if not machine.which("fio") or tiny:
            return [mneme, "bench", "disk", *shape, "--json"]
        return [machine.python, machine.tool("compare_fio"), mneme, *shape, "--rounds", "2"]
    return Step(f"disk-{record}", seconds, command, keeps="text")
