"""Comparison of several runs: one table, one set of figures, one page. Needs only run folders, and no torch."""
