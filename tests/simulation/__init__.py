"""The daemon's core on virtual time, with real `kill -9` semantics and nothing real behind it.

`anyio.sleep` in here lets no real time pass: it is how long a disk or a network takes in the
simulated world, and `loop` jumps over it.
"""
