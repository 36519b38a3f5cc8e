"""The command `pinfut`: it stands on top of the floors, and none of them imports it."""
