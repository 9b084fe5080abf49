"""Time and memory of training, compared with a plain network, a naive loop and other packages on the same machine.

Every number is a row of a section. Rows to be compared are timed in turns, so that other programs disturb all of them
equally. A goal is a limit on the ratio of two rows.
May import from every room but `cli` and `testing`.
"""
