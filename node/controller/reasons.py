"""Why a setpoint is what it is: one enum, one sentence each."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Reason(IntEnum):
    """The cause of a setpoint; the value is stored, the sentence is for people."""

    FOLLOW = 0
    SCHEDULE = 1
    TRACKING = 2
    RESERVE = 3
    FULL = 4
    POWER_LIMIT = 5
    CAPACITY = 6
    PRIORITY = 7
    RELIEF = 8
    GRID_EVENT = 9
    SUPPLY_FAILURE = 10
    LEASE_ENDED = 11
    UNHEALTHY = 12
    RELEASED = 13
    REQUEST = 16
    BALANCED = 17
    DEPARTURE = 18
    PROACTIVE = 19
    GIVES_BACK = 20
    RIDE_THROUGH = 21
    SHUTDOWN = 22
    CONTRIBUTES = 23
    NO_VOLTAGE = 50
    SHED = 51
    PICK_UP = 52
    VOLTAGE = 30
    FREQUENCY = 40


_SENTENCES = {
    Reason.FOLLOW: "follows its own load or sun",
    Reason.SCHEDULE: "schedule of the account",
    Reason.TRACKING: "corrects the forecast error of the account in this interval",
    Reason.RESERVE: "stops at the owner's reserve",
    Reason.FULL: "storage is full",
    Reason.POWER_LIMIT: "converter at its limit",
    Reason.CAPACITY: "capacity of node {node}",
    Reason.PRIORITY: "more important loads come first at node {node}",
    Reason.RELIEF: "relieves node {node}",
    Reason.GRID_EVENT: "grid event {event}",
    Reason.SUPPLY_FAILURE: "supply of node {node} failed",
    Reason.LEASE_ENDED: "lease ended: safe state",
    Reason.UNHEALTHY: "taken out: unhealthy",
    Reason.RELEASED: "limit lifted",
    Reason.BALANCED: "shares the account's power with its other storages: few converters, even charge",
    Reason.DEPARTURE: "must charge now to be ready at departure",
    Reason.PROACTIVE: "moves power to node {node} before its predicted overload",
    Reason.GIVES_BACK: "gives back energy borrowed over the ties of node {node}",
    Reason.RIDE_THROUGH: "kept off so that storages last until node {node} is supplied again",
    Reason.SHUTDOWN: "shut down in order: the storages of node {node} are nearly empty",
    Reason.NO_VOLTAGE: "no voltage: the island at node {node} is not formed",
    Reason.SHED: "shed: the island at node {node} keeps its energy for more important loads",
    Reason.PICK_UP: "waits for its turn in the black start of the island at node {node}",
    Reason.VOLTAGE: "all solar gives the same share: voltage of node {node} at its upper limit",
    Reason.CONTRIBUTES: "contributes to its account's load: above its high threshold",
    Reason.REQUEST: "asked for energy: below its low threshold",
    Reason.FREQUENCY: "answers the grid's frequency: {event}",
}


def describe(reason: Reason, node: str = "", event: str = "") -> str:
    """Return the sentence people read.

    Parameters
    ----------
    reason : Reason
    node : str
        Name of the node the reason is about, where it is about one.
    event : str
        Name of the grid event, where there is one.
    """
    return _SENTENCES[reason].format(node=node, event=event).strip()


def one_of(*reasons: Reason) -> NDArray[np.bool_]:
    """Return a table to look up in which of many reasons are one of these: `table[reason]`."""
    table = np.zeros(max(Reason) + 1, np.bool_)
    table[list(reasons)] = True
    return table
