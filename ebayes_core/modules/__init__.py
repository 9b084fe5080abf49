"""Modules of torch as architectures: built anew for each seed, or one that somebody has trained already.

Below `spec` and the engine, to which they are networks like any other.
"""
