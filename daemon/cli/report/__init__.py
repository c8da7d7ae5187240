"""`valkeep report`: the daemon's answer as one page that can be kept, mailed and printed.

The page is a pure function of the answer. Only here are its two libraries known, which Valkeep
does without otherwise: pygal draws, jinja2 writes.
"""
