"""The command line: commands, options, exit statuses, and what a person sees while a run goes on.

May import from every room; nothing imports from it.
"""
