"""The parts of a check, in order. Each is a function of (steps, options) that runs programs; what
fails is in the steps, and the parts that follow run all the same."""
import os
import subprocess

from gpu_checks import tiers
from gpu_checks.packages import fail

# The suites that compute-sanitizer watches: every operation once.
SANITIZED = ["kernels/dense_ops_test", "kernels/key_ops_test", "kernels/row_ops_test",
             "kernels/residency_ops_test"]

SHAPE_134M = ["--vocabulary", "32000", "--width", "768", "--blocks", "12", "--heads", "12",
              "--kv-heads", "12", "--hidden", "2048", "--batch", "16", "--sequence", "2048"]


def build(steps, options):
    configured = steps.step(
        "configure", ["cmake", "-S", steps.root, "-B", steps.build, "-G", "Ninja",
                      "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O3",
                      "-DCMAKE_CUDA_FLAGS_RELEASE=-O3", "-DMNEME_CUDA=ON",
                      "-DMNEME_EMULATE_CUDA=OFF", *options.cmake_arguments], 120)
    if not configured or not steps.step("build", ["cmake", "--build", steps.build, "-j",
                                                  str(os.cpu_count())], 420):
        fail(f"no build, see {steps.out}")


def conformance(steps, _):
    # One test at a time on the device: sizes are small, and times mean something.
    steps.step("conformance", ["ctest", "--test-dir", steps.build, "-L", "cuda", "-j", "4",
                               "--output-on-failure"], 300)


def sanitizer(steps, _):
    on_cuda = {"MNEME_TEST_BACKENDS": "cuda", "MNEME_REQUIRE": "cuda"}
    for tool in ("memcheck", "racecheck"):
        for suite in SANITIZED:
            steps.step(f"{tool}-{os.path.basename(suite)}",
                       [steps.which("compute-sanitizer"), "--tool", tool, "--error-exitcode", "9",
                        steps.program("tests/" + suite), "--gtest_brief=1"], 150, on_cuda)


def has_pytorch(python):
    done = subprocess.run([python, "-c", "import torch; print(torch.cuda.is_available())"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() == "True"


def benchmarks(steps, options):
    steps.step("benchmark", [steps.program("tests/gpu_benchmark/gpu_benchmark"),
                             "--benchmark_out=" + steps.file("benchmark.json"),
                             "--benchmark_out_format=json"], 300)
    mneme = steps.program("mneme")
    for config in ("134m-dense", "134m-memory-1024"):
        steps.step(f"model-{config}",
                   [mneme, "bench", "model", f"configs/paper/{config}.toml", "--device", "cuda",
                    "--steps", "10", "--set", "train.micro_batches=1", "--set", "train.batch=16",
                    "--json"], 120)
    if has_pytorch(options.python):
        steps.step("pytorch-dense",
                   [options.python, os.path.join(steps.root, "tools/compare_pytorch_dense"),
                    "--device", "cuda", "--rounds", "3", "--command", f"{mneme} bench model",
                    *SHAPE_134M], 180)


PARTS = {"build": build, "conformance": conformance, "sanitizer": sanitizer,
         "benchmarks": benchmarks, "tiers": tiers.training, "open": tiers.opening,
         "disk": tiers.disk}
