"""Files on disks that fill up, fail or are shared: atomic writes, HDF5, untrusted files, caches, and leases.

Imports `errors` alone; it knows nothing of networks.
"""
