"""What a notebook works with: run and fit, runs that are opened, compared and predicted from.

Imports every room below it. `ebayes` names what is public.
"""
