// Operation gather_rows of the CPU backend.
