"""One conversation: calls out, calls in, and who pays for them."""
