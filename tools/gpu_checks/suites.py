"""The test programs that a check runs, what runs of each, and how long it is expected to take."""
from gpu_checks.steps import Skip, Step

# By name, in the order of what has to be right first: rows, and all that stands on them.
SUITES = {
    "key_ops": "tests/kernels/key_ops_test",
    "row_ops": "tests/kernels/row_ops_test",
    "residency_ops": "tests/kernels/residency_ops_test",
    "dense_ops": "tests/kernels/dense_ops_test",
    "streams": "tests/kernels/streams_test",
    "golden_rows": "tests/kernels/golden_rows_test",
    "memory_layer": "tests/memory/memory_layer_test",
    "value_table": "tests/memory/value_table_test",
    "offload": "tests/offload/offload_test",
    "golden_model": "tests/engine/engine_golden_model_test",
    "model": "tests/engine/engine_model_test",
    "moe_part": "tests/engine/engine_moe_part_test",
    "optimizer": "tests/engine/engine_optimizer_test",
    "parameters": "tests/engine/engine_parameters_test",
    "sampler": "tests/engine/engine_sampler_test",
    "formats": "tests/engine/formats_test",
    "checkpoint": "tests/engine/checkpoint_test",
    "trainer": "tests/engine/trainer_test",
    "trainer_kinds": "tests/engine/trainer_kinds_test",
}

# What compute-sanitizer watches: every operation, some of its shapes.
WATCHED = {
    "key_ops": "*MatchesTheOracle*:Shapes/*",
    "row_ops": "Layouts/*:*GatherAndDot*:*GroupLookups*:Cases/CatchUp*:Widths/*:*RowNorms.*",
    "residency_ops": "Backends/LookUp*:Backends/Residency*:Backends/SlotMoves.*:Backends/StepPlan*",
    "dense_ops": "*MatchesTheOracle*-Shapes/*",
}


def suite(name, seconds, tests="", step=""):
    """A step that runs the tests of a suite whose names match."""
    def command(machine):
        chosen = ["--gtest_filter=" + tests] if tests else []
        return [machine.program(SUITES[name]), "--gtest_brief=1", *chosen]
    return Step(step or name, seconds, command)


def watched(tool, name, seconds):
    """A step that runs a suite under a tool of compute-sanitizer."""
    def command(machine):
        if machine.device != "cuda":
            raise Skip("compute-sanitizer watches GPUs")
        program = machine.which("compute-sanitizer")
        if not program:
            raise Skip("there is no compute-sanitizer")
        return [program, "--tool", tool, "--error-exitcode", "9", machine.program(SUITES[name]),
                "--gtest_brief=1", "--gtest_filter=" + WATCHED[name]]
    return Step(f"{tool}-{name}", seconds, command)
