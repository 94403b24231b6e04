// Operation row_gradient of the CPU backend.
