"""Deep learning on astroparticle detectors: liquid argon, Cherenkov telescopes and water tanks."""

__version__ = "0.1.0"
