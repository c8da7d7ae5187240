"""Keys from a private engine into a target: chosen, packed and renamed there, written here.

The private engine's own scripts write the target's commands, so that Python only passes bytes on.
"""
