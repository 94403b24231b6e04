// Operation lookup_dot of the CPU backend.
