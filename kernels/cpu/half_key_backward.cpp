// Operation half_key_backward of the CPU backend.
