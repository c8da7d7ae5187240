"""The state beside the log: form, file, and when it is kept."""
