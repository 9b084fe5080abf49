"""Reading a results file: figures, claims, tables on the screen and as a page, and whether the file is intact.

May import from `contract` and the rooms below it, and from `spec`; it never trains.
"""
