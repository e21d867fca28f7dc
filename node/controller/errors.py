"""What the controller refuses, and why.

ControllerError
├── InvalidNetwork   a capacity tree that is no tree, or whose capacities make no sense
├── InvalidRequest   a demand, weight or class that no allocation can be made from
└── InvalidLease     a leadership lease that is older than, or foreign to, the one in force
"""


class ControllerError(Exception):
    """Base of all errors of this package."""


class InvalidNetwork(ControllerError):
    """A capacity tree is no tree, or a capacity makes no sense; the message names the node."""


class InvalidRequest(ControllerError):
    """A demand, weight or class no allocation can be made from; the message names the first offending row."""


class InvalidLease(ControllerError):
    """A leadership lease is older than, or foreign to, the one in force."""
