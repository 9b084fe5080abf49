"""Robust file access on disks that fill up, fail or are shared: atomic writes, HDF5, untrusted files, caches, leases.

Imports `errors` alone; it knows nothing about networks.
"""
