"""The daemon's core on virtual time, with real `kill -9` semantics and nothing real behind it."""
