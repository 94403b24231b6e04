// Operation row_records of the CPU backend.
