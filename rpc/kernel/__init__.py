"""The kernel contract and its simulated back end: banks, pages, rings, notifications."""
