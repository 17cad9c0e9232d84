"""What a user asks for: train, iotest, inference."""
