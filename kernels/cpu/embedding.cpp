// Operation embedding of the CPU backend.
