"""A simulator of the whole stack: one seed, one history, faults everywhere."""
