"""What is made of a results file: figures, claims, tables, the screen, the page, and whether the file is intact.

May import from `contract` and the rooms below it, and from `spec`; it never trains.
"""
