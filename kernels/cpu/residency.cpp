// Operation residency of the CPU backend.
