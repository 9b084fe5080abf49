"""What is measured of a trained cohort: scores, curvature, convergence, and the bound on the free energy.

May import from `engine` and the rooms below it.
"""
