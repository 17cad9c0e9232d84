"""Comparison of generated with reference events: distances, closure, classifiers, memorisation, and their report."""
