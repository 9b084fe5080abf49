"""What every command prints with: tables of any width, and an output that may close at any time.

Imports `wording` alone.
"""
