"""Questions of design, answered by building each answer behind one contract.

`python -m benches.compare` prints the tables of docs/comparisons.md. Nothing of pinfut imports
this, and what is compared here is small: no session, no bank, no task stands around it.
"""
