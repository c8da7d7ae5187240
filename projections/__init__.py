"""What is true: pure folds over the log and pure queries on what they give. No clock, no I/O."""
