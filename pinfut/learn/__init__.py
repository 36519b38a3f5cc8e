"""Learning by looking: the explorer of recorded runs, and what is built on it.

Stands on top of the floors, as the command does; `import pinfut` loads none of it.
"""
