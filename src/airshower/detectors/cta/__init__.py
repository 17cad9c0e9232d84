"""Imaging atmospheric Cherenkov telescopes: camera images of air showers."""
