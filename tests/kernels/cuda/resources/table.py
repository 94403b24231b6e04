"""The table of what the project's own kernels take: a line a kernel."""
import csv

# Columns that each architecture has, and the attributes that they hold.
COLUMNS = ("registers", "stack", "spilled", "shared")


def header(architectures):
    return ["source", "kernel", "threads"] + [f"{column}_{architecture}" for column in COLUMNS
                                              for architecture in architectures]


def short(name):
    for prefix in ("mneme::kernels::cuda::internal::", "mneme::kernels::cuda::",
                   "mneme::kernels::"):
        name = name.replace(prefix, "")
    return name


def rows(kernels, architectures):
    """[source, kernel, numbers...] of every kernel of the project."""
    by_name = {}
    for kernel in kernels:
        if kernel.is_ours:
            key = (kernel.source, short(kernel.name))
            by_name.setdefault(key, {})[kernel.architecture] = kernel
    result = []
    for (source, name), of_kernel in sorted(by_name.items()):
        if set(of_kernel) != set(architectures):
            raise SystemExit(f"{source}: {name} is not compiled for every architecture")
        threads = {kernel.threads for kernel in of_kernel.values()}
        numbers = [max(threads)] + [getattr(of_kernel[architecture], column) for column in COLUMNS
                                    for architecture in architectures]
        result.append([source, name, *map(str, numbers)])
    return result


def write(path, kernels, architectures):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header(architectures))
        writer.writerows(rows(kernels, architectures))


def differences(path, kernels, architectures):
    """What differs from the table, in words."""
    with open(path, encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    columns = header(architectures)
    if not set(columns) <= set(lines[0]):
        return [f"{path} has no columns of these architectures; write it with --write"]
    picked = [lines[0].index(column) for column in columns]
    wanted = {tuple(line[:2]): [line[i] for i in picked] for line in lines[1:]}
    found = {tuple(row[:2]): row for row in rows(kernels, architectures)}
    failures = []
    for key in sorted(wanted.keys() | found.keys()):
        if key not in found:
            failures.append(f"{key[0]}: {key[1]} is in the table and no kernel")
        elif key not in wanted:
            failures.append(f"{key[0]}: {key[1]} is not in the table")
        else:
            failures += [f"{key[0]}: {key[1]}: {column} is {now}, {before} in the table"
                         for column, before, now in zip(columns, wanted[key], found[key])
                         if before != now]
    if failures:
        failures.append("if that is as it should be, write the table anew with --write")
    return failures
