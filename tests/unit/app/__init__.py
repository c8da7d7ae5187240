"""The composition root's own small parts."""
