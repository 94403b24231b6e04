"""How a check divides its time: each part gets what it is expected to take, and of the time that is
to spare as much as it asks for. One that runs late is cut, so that those behind it get theirs."""
import time

from gpu_checks.steps import Skip

# The most that a unit may take, as a multiple of what is expected: a program that hangs does not
# take all the time that is to spare.
MOST = 3
# A unit starts when so much of its expected time is left: ending those before takes a moment.
LEAST = 0.8


def limit_of(unit_seconds, later_seconds, remaining):
    """The seconds that a unit may take, None when it is not to be started."""
    if remaining < LEAST * unit_seconds:
        return None
    spare = remaining - later_seconds
    return min(remaining, MOST * unit_seconds, max(unit_seconds, spare))


def unit_seconds(unit, patience):
    return patience * max(step.seconds for step in unit)


def run_parts(parts, machine, results, seconds, clock=time.monotonic):
    """Runs the parts in order, for so many seconds in all. What comes of each step is in results.
    patience: by how much longer than on a GPU everything takes."""
    begin, built = clock(), True
    units = [(part, unit) for part in parts for unit in part.units()]
    for index, (part, unit) in enumerate(units):
        later = sum(unit_seconds(other, machine.patience) for _, other in units[index + 1:])
        runnable = []
        for step in unit:
            try:
                runnable.append((step, step.command(machine)))
            except Skip as reason:
                results.add(part, step, "skipped", 0, str(reason))
        if not runnable:
            continue
        expected = unit_seconds([step for step, _ in runnable], machine.patience)
        limit = limit_of(expected, later, seconds - (clock() - begin))
        if limit is None or not built:
            for step, _ in runnable:
                results.add(part, step, "not started", 0,
                            "no time was left" if built else "there are no programs")
            continue
        finished = machine.run(runnable, limit)
        for (step, _), end in zip(runnable, finished):
            if end is None:
                results.add(part, step, "not started", 0, "others of its part took the time")
            elif end.status is None:
                results.add(part, step, "cut", end.seconds, end.last_line)
            elif end.status == 0:
                results.add(part, step, "passed", end.seconds, end.last_line)
            else:
                results.add(part, step, "failed", end.seconds, f"{end.status}: {end.last_line}")
            if part.name == "build" and (end is None or end.status != 0):
                built = False
        results.save()
