// Operation cross_entropy of the CPU backend.
