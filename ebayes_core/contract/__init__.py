"""The plugin contract: the slots and their hooks, the registry, and functions that plugins share with the engine.

May import from `results`, which an analysis reads, and the rooms below it.
"""
