"""The composition root: the only room with a real clock, real ids and the environment."""
