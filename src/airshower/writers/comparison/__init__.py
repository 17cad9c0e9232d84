"""Several runs beside each other: one table, one set of figures, one page. Needs run folders only, and no torch."""
