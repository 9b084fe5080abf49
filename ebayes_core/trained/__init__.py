"""Trained networks taken out of a results file: as modules of torch, for predictions, and in other programs' formats.

Imports the engine and the rooms below it.
"""
