"""Sample DL1 files, whose cameras are read."""

from tests.detectors.cta.conftest import sample

__all__ = ["sample"]
