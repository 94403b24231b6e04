// Operation matmul of the CPU backend.
