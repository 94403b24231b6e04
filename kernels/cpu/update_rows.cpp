// Operation update_rows of the CPU backend.
