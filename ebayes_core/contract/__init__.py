"""What a plugin is: the slots and their hooks, the registry, and what plugins share with the program.

May import from `results`, which an analysis reads, and the rooms below it.
"""
