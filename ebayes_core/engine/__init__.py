"""Training: cohorts of networks that take every step together, from initial weights to checkpoints.

May import from `spec`, `contract` and the rooms below them.
"""
