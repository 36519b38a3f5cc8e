"""Memory that two processes share, and the words that say what is ready in it."""
