"""The protocol without I/O: frames, the four tables, and the state machine over them."""
