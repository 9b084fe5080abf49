"""From a spec to a results file, by one process or by many: items, workers that lease them, retries, and status.

May import from every room but `cli`, `bench` and `testing`.
"""
