"""What training costs: the engine beside a plain network, a naive loop and other packages, in one run on one machine.

Every number is a row of a section; rows that are compared take turns, so that a busy machine disturbs all of them
alike; and a goal is a quotient of two rows.
May import from every room but `cli` and `testing`.
"""
