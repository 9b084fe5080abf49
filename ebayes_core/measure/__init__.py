"""What is measured on a trained cohort: scores, curvature, convergence, and the bound on the ELBO.

May import from `engine` and the rooms below it.
"""
