// Operation rotary of the CPU backend.
