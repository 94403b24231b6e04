"""What holds for every kernel: the devices' limits, and which instructions it must and must not
have."""
import re

from resources.exceptions import LOCAL_MEMORY

REGISTERS = 65536  # of a multiprocessor, thus the most of a block
REGISTERS_OF_A_THREAD = 255
STATIC_SHARED = 48 << 10  # of a block

# Kernels (of the names without parameters) and an instruction that they must have.
NEEDED = (
    # Rows that begin at multiples of 16 bytes are gathered in pieces of 16 bytes, past the L1 cache.
    (r"gather_rows_kernel<.*, true>$", r"LDG\.E\.NA\.128\.CONSTANT", "16-byte loads of rows"),
    (r"(dot_tokens|dot_sorted)_kernel<.*, true>$", r"LDG\.E\.NA\.128\.CONSTANT",
     "16-byte loads of rows"),
    (r"::attention_kernel<", r"HMMA\.", "tensor-core products"),
    (r"::(key|query)_gradients_kernel<", r"HMMA\.", "tensor-core products"),
)


def limits(kernels):
    failures = []
    for kernel in kernels:
        # Registers are given to warps in units of 8 a thread.
        registers = (kernel.registers + 7) // 8 * 8 * ((kernel.threads + 31) // 32 * 32)
        if registers > REGISTERS or kernel.registers > REGISTERS_OF_A_THREAD:
            failures.append(f"{kernel}: {kernel.threads} threads with {kernel.registers} registers "
                            f"are more than a multiprocessor has")
        if kernel.shared > STATIC_SHARED:
            failures.append(f"{kernel}: {kernel.shared} bytes of static shared memory; a block may "
                            f"have {STATIC_SHARED}")
    return failures


def instructions(kernels, exceptions=LOCAL_MEMORY):
    """exceptions: from local memory. REQUIRES: nvdisasm has read the instructions."""
    failures = []
    for pattern, instruction, what in NEEDED:
        meant = [kernel for kernel in kernels if re.search(pattern, kernel.name)]
        if not meant:
            failures.append(f"no kernel is called {pattern}")
        failures += [f"{kernel}: no {what} ({instruction})" for kernel in meant
                     if not any(re.match(instruction, name) for name in kernel.instructions)]
    unused = set(exceptions)
    for kernel in kernels:
        accesses = sum(count for name, count in kernel.instructions.items()
                       if re.match(r"(LDL|STL)\b", name))
        if accesses == 0:
            continue
        excuses = [key for key in exceptions
                   if kernel.architecture in key[1] and re.search(key[0], kernel.name)]
        unused.difference_update(excuses)
        if kernel.is_ours and not excuses:
            failures.append(f"{kernel}: {accesses} accesses to local memory")
    compiled = {kernel.architecture for kernel in kernels}
    failures += [f"no kernel {pattern} has local memory any more: take it from the exceptions"
                 for pattern, architectures in sorted(unused) if compiled >= set(architectures)]
    return failures
