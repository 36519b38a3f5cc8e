"""A file service: `interface` is what it offers, `server` serves it, `client` uses it.

``python -m examples.files`` runs the demonstration.
"""
