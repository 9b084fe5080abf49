"""The results file: what is recorded about a network, where it is stored, and how it is written, read and merged.

May import from `storage` and the modules at the top; it knows no spec model and no plugin.
"""
