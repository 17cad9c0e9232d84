"""The modes of the application: train, iotest, inference."""
