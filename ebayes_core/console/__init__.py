"""Output of all commands: tables that fit the width of the screen, and streams that survive a closed terminal.

Imports `wording` alone.
"""
