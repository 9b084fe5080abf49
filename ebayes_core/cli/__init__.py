"""The command line: commands, options, exit statuses, and the display of a run in progress.

May import from every room; nothing imports from it.
"""
