"""What microgrids did in an interval, written to the store."""

from sqlalchemy import Connection

from devices.specification import Priority
from node.controller.election import count_of
from node.hub.dispatch_records import IntervalOutcome
from node.store.bulk import insert_all
from node.store.tables_islands import island_intervals, island_samples, island_services


def record_islands(connection: Connection, outcome: IntervalOutcome, first_account: int) -> None:
    """Store an interval's islands in the caller's transaction."""
    for one in outcome.islands:
        where = {"interval": outcome.interval, "node": one.node}
        leader = None if one.leader < 0 else one.leader + first_account
        insert_all(
            connection,
            island_intervals,
            [
                {
                    **where,
                    "phase": one.phase.name.lower(),
                    "leader": leader,
                    "term": count_of(one.term),
                    "cut_s": one.cut_s,
                    "usable_wh": one.usable_wh,
                }
            ],
        )
        services = [
            {**where, "priority": klass.name.lower(), "wanted_wh": wanted, "served_wh": served}
            for klass, wanted, served in zip(
                Priority, one.wanted_wh.tolist(), one.served_wh.tolist(), strict=True
            )
            if wanted > 0.0
        ]
        if services:
            insert_all(connection, island_services, services)
        samples = [
            {
                **where,
                "at_s": sample.at_s,
                "phase": sample.phase.name.lower(),
                "f_min_hz": sample.f_min_hz,
                "f_max_hz": sample.f_max_hz,
                "v_min_pu": sample.v_min_pu,
                "v_max_pu": sample.v_max_pu,
                "load_w": sample.load_w,
                "usable_wh": sample.usable_wh,
            }
            for sample in one.samples
        ]
        if samples:
            insert_all(connection, island_samples, samples)
