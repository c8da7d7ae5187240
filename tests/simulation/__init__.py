"""The daemon's core on virtual time, with real `kill -9` semantics and nothing real behind it.

`anyio.sleep` in here lets no real time pass: it is how long a disk or a network takes in the
simulated world, and `loop` jumps over it.

A sleep in these files passes virtual time: the loop jumps to the next timer, and no real second
goes by. It says when something happens to a world, and never waits for anything to be ready.
"""
