"""Why setpoints were what they were: how often each reason was given, and to how many devices."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from node.store.tables_devices import setpoints

CAPTION = "Why setpoints changed"
HEADS = ("reason", "setpoints", "devices")
# Reasons name their node; a table of reasons counts them together.
_NODE = re.compile(r"\bnode \S*[^\s:]")

DEFINITIONS = {
    "Why setpoints changed": "Every setpoint that moved a device by more than a small deadband, by its reason; reasons "
    "about different nodes are counted together. Table setpoints.csv has each with device, time and node.",
}


def tables(connection: Connection, span: range) -> dict[str, tuple[Sequence[str], Sequence[Sequence[str]]]]:
    """Return the report's table by caption, the most frequent first; none where nothing was set."""
    found = connection.execute(
        select(setpoints.c.reason, setpoints.c.device, func.count())
        .where(setpoints.c.interval >= span.start, setpoints.c.interval < span.stop)
        .group_by(setpoints.c.reason, setpoints.c.device)
    )
    count: Counter[str] = Counter()
    touched: defaultdict[str, set[int]] = defaultdict(set)
    for reason, device, times in found:
        general = _NODE.sub("a node", reason)
        count[general] += times
        touched[general].add(device)
    rows = [
        (reason, f"{times:,}", f"{len(touched[reason]):,}")
        for reason, times in sorted(count.items(), key=lambda item: (-item[1], item[0]))
    ]
    return {CAPTION: (HEADS, rows)} if rows else {}
