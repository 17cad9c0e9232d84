"""Generated events beside real ones: distances, closure, a classifier, memorisation, and the report of them."""
