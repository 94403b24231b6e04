// Operation adamw of the CPU backend.
