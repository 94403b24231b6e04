// Operation catch_up_rows of the CPU backend.
