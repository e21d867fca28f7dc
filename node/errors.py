"""What the running system refuses or fails at, by what the caller has to do about it.

NodeError
├── Transient    try again: nothing was changed that a second attempt would repeat
└── Permanent    trying again cannot help: halt, alarm, ask a human
"""


class NodeError(Exception):
    """Base of all errors of this package."""


class Transient(NodeError):
    """Try again later: a locked database, a chain that does not answer."""


class Permanent(NodeError):
    """Trying again cannot help: a wrong chain, a reverted chunk, a full disk."""
