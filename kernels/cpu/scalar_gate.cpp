// Operation scalar_gate of the CPU backend.
