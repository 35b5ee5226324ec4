"""The one training loop, its checkpoints, and the batches it is fed."""
