"""Running a spec with one process or many: items, the workers that take them, retries, and status.

May import from every room but `cli`, `bench` and `testing`.
"""
