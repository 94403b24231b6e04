// Operation key_search of the CPU backend.
