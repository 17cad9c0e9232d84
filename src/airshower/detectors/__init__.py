"""One folder a detector: its file format, geometry, reader, writer and simulation."""
