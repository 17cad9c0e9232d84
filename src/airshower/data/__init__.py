"""What a run reads: batches, sources, the plan of entries, and the thread that reads ahead."""
