"""What is learned: how a batch becomes inputs, the loss, the metrics."""
