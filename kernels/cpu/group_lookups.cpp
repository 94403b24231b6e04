// Operation group_lookups of the CPU backend.
