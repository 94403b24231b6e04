// Operation norm of the CPU backend.
