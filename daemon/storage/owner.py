"""Whom the daemon's files belong to, for the commands in our hints.

Knows the process's own user, whose name need not be the one that the service gives it.
"""

import os
import pwd


def own_user() -> str:
    """The name of the user that we run as; its number where it has none."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
