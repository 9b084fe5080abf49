"""The engine of ebayes: it knows no cost, data set or figure by name, and never imports ebayes_plugins."""
