"""A simulated machine, deterministic."""
