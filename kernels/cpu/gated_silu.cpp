// Operation gated_silu of the CPU backend.
