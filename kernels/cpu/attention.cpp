// Operation attention of the CPU backend.
