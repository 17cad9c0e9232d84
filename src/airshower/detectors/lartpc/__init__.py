"""Liquid-argon time projection chambers: wire images in larcv3 files."""
