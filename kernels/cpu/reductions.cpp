// Operation reductions of the CPU backend.
