"""One module per system, each with a `SUITE`: how to run a bench there, and its benches by name."""
