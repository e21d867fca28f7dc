"""Meters' signed registers and the controller's signed curtailments: checked, stored, priced as imbalance.

The last register of every account that counts is the anchor. A reading of the next interval counts at once; one
after a gap, or further from it than the connection carries, waits until the registrar may stand in
(hub/late_readings). The same reading again is harmless,
another value for an interval already read is an alarm.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select

from market.chunks import Tariff
from market.errors import ReadingRefused
from market.imbalance import imbalance_milli_wh, receipts_pico
from node.bus.messages import CurtailmentNotice, MeterReading
from node.chain import typed_data
from node.chain.typed_data import CompactSignature, Domain
from node.clock import Clock
from node.hub.clearing import positions_milli_wh
from node.hub.registry import Registry
from node.store.bulk import insert_all
from node.store.tables_market import chunks, curtailments, imbalances, readings, tariffs


class Metering:
    """The hub's service for what meters say."""

    def __init__(
        self,
        domain: Domain,
        registry: Registry,
        clock: Clock,
        grid_role: bytes,
        *,
        is_signed: bool,
    ) -> None:
        self._domain = domain
        self._registry = registry
        self._clock = clock
        self._grid_role = grid_role
        self._is_signed = is_signed

    def curtail(self, connection: Connection, notices: Sequence[CurtailmentNotice]) -> None:
        """Store what the controller took away from positions, once per account and interval.

        Raises
        ------
        ReadingRefused
            If the grid role did not sign it, or another curtailment of that interval is stored.
        """
        for notice in notices:
            signature = CompactSignature(notice.r, notice.vs)
            message = typed_data.Curtailment(notice.account, notice.interval, notice.quantity_milli_wh)
            self._check_signature(message, signature, self._grid_role, notice.account)
            known = connection.execute(
                select(curtailments.c.quantity_milli_wh).where(
                    curtailments.c.interval == notice.interval, curtailments.c.account == notice.account
                )
            ).scalar()
            if known is not None and known != notice.quantity_milli_wh:
                raise ReadingRefused(
                    f"account {notice.account}, interval {notice.interval}: curtailed by {known} mWh already"
                )
            if known is None:
                connection.execute(
                    insert(curtailments),
                    {
                        "interval": notice.interval,
                        "account": notice.account,
                        "quantity_milli_wh": notice.quantity_milli_wh,
                        "reason": notice.reason,
                        "signature": signature.to_bytes(),
                    },
                )

    def read(self, connection: Connection, interval: int, batch: Sequence[MeterReading]) -> None:
        """Store one interval's readings and what each account's imbalance costs, all or none.

        Readings after a gap, of an interval whose settlement is planned, or that move the register by more than
        the connection carries, are stored and wait.

        Raises
        ------
        ReadingRefused
            If a reading is forged, of an unknown account, before one that counts, a second value for the
            same interval, or a substitute.
        """
        known = self._stored(connection, interval)
        fresh = [reading for reading in batch if not self._is_repeat(reading, interval, known)]
        if not fresh:
            return
        before = self._registers_before(connection, interval, [reading.account for reading in fresh])
        position = positions_milli_wh(connection, interval)
        forgiven = curtailed_milli_wh(connection, interval)
        tariff = load_tariffs(connection, interval)
        if not tariff:
            raise ReadingRefused(f"interval {interval} has no tariff yet: publish it before reading meters")
        reading_rows: list[dict[str, Any]] = []
        late_rows: list[dict[str, Any]] = []
        metered_milli_wh: list[int] = []
        zones: list[int] = []
        seen: set[int] = set()
        is_over = _is_planned(connection, interval)
        for reading in fresh:
            row = self._registry.row(reading.account)
            if row is None:
                raise ReadingRefused(f"account {reading.account} is not connected here")
            if reading.account in seen:
                raise ReadingRefused(
                    f"account {reading.account}: two readings of interval {interval} in one batch"
                )
            seen.add(reading.account)
            if reading.is_substitute:
                raise ReadingRefused(
                    f"account {reading.account}: a substitute is the registrar's to sign and to carry in, "
                    "a meter sends none"
                )
            last_interval, last_register = before.get(reading.account, (None, 0))
            if last_interval is not None and interval <= last_interval:
                raise ReadingRefused(
                    f"account {reading.account}: reading of interval {interval}, "
                    f"the next one is {last_interval + 1}"
                )
            self._check_signature(
                typed_data.Reading(reading.account, interval, reading.register_milli_wh),
                CompactSignature(reading.r, reading.vs),
                self._registry.meter[row],
                reading.account,
            )
            if is_over or (last_interval is not None and interval != last_interval + 1):
                late_rows.append(self._reading_row(reading, settled_in=None))
                continue
            metered = reading.register_milli_wh - last_register
            if abs(metered) > int(self._registry.capacity_milli_wh[row]):
                # out of reach, by whatever fault of one meter: it waits, and nobody else has to
                late_rows.append(self._reading_row(reading, settled_in=None))
                continue
            reading_rows.append(self._reading_row(reading, settled_in=interval))
            metered_milli_wh.append(metered)
            zones.append(int(self._registry.zone[row]))
        insert_all(connection, readings, reading_rows + late_rows)
        accounts = [row["account"] for row in reading_rows]
        insert_all(
            connection,
            imbalances,
            imbalance_rows(
                interval,
                accounts,
                metered_milli_wh,
                [position.get(account, 0) for account in accounts],
                [forgiven.get(account, 0) for account in accounts],
                [tariff[zone] for zone in zones],
                settled_in=interval,
            ),
        )

    def _is_repeat(self, reading: MeterReading, interval: int, known: dict[int, int]) -> bool:
        if reading.interval != interval:
            raise ReadingRefused(
                f"account {reading.account}: reading of interval {reading.interval} among those of {interval}"
            )
        register = known.get(reading.account)
        if register is not None and register != reading.register_milli_wh:
            raise ReadingRefused(
                f"account {reading.account}, interval {interval}: register {reading.register_milli_wh} mWh, "
                f"but {register} mWh was read before"
            )
        return register is not None

    def _check_signature(
        self, message: typed_data.Message, signature: CompactSignature, signer: bytes, account: int
    ) -> None:
        if not self._is_signed:
            return
        try:
            found = typed_data.recover(self._domain, message, signature)
        except (typed_data.BadSignature, typed_data.BadMessage) as error:
            raise ReadingRefused(f"account {account}: {error}") from error
        if found != signer:
            raise ReadingRefused(f"account {account}: signed by 0x{found.hex()}, expected 0x{signer.hex()}")

    def _reading_row(self, reading: MeterReading, settled_in: int | None) -> dict[str, Any]:
        return {
            "interval": reading.interval,
            "account": reading.account,
            "register_milli_wh": reading.register_milli_wh,
            "is_substitute": reading.is_substitute,
            "signature": CompactSignature(reading.r, reading.vs).to_bytes(),
            "received_at_s": int(self._clock.now_s()),
            "settled_in": settled_in,
        }

    def _stored(self, connection: Connection, interval: int) -> dict[int, int]:
        found = connection.execute(
            select(readings.c.account, readings.c.register_milli_wh).where(readings.c.interval == interval)
        )
        return {row.account: row.register_milli_wh for row in found}

    def _registers_before(
        self, connection: Connection, interval: int, wanted: Sequence[int]
    ) -> dict[int, tuple[int, int]]:
        """Return each account's newest interval and register that counts; nothing in the first interval of all.

        Meters of one interval may come in several batches: each account has its own anchor.
        """
        found = connection.execute(
            select(readings.c.account, readings.c.register_milli_wh).where(
                readings.c.interval == interval - 1, readings.c.settled_in.is_not(None)
            )
        )
        before = {row.account: (interval - 1, row.register_milli_wh) for row in found}
        first = first_interval(connection)
        for account in wanted:
            if account not in before:
                newest = connection.execute(
                    select(readings.c.interval, readings.c.register_milli_wh)
                    .where(readings.c.account == account, readings.c.settled_in.is_not(None))
                    .order_by(readings.c.interval.desc())
                    .limit(1)
                ).one_or_none()
                if newest is not None:
                    before[account] = (newest.interval, newest.register_milli_wh)
                elif first is not None and first < interval:
                    before[account] = (first - 1, 0)  # silent from the beginning
        return before


def first_interval(connection: Connection) -> int | None:
    """Return the first interval in which meters counted; every register is zero before it."""
    return connection.execute(select(func.min(readings.c.interval))).scalar()


def _is_planned(connection: Connection, interval: int) -> bool:
    """Return whether an interval's settlement is under way: what comes now comes with a later one."""
    settled = connection.execute(select(func.max(readings.c.settled_in))).scalar()
    if settled is not None and interval < settled:
        return True
    query = select(chunks.c.sequence).where(chunks.c.interval == interval).limit(1)
    return connection.execute(query).first() is not None


def curtailed_milli_wh(connection: Connection, interval: int) -> dict[int, int]:
    """Return what was taken away from positions in an interval, by account."""
    found = connection.execute(
        select(curtailments.c.account, curtailments.c.quantity_milli_wh).where(
            curtailments.c.interval == interval
        )
    )
    return {row.account: row.quantity_milli_wh for row in found}


def load_tariffs(connection: Connection, interval: int) -> tuple[Tariff, ...]:
    """Return an interval's supplier tariffs by zone; empty if none are published."""
    found = connection.execute(select(tariffs).where(tariffs.c.interval == interval).order_by(tariffs.c.zone))
    return tuple(Tariff(row.short_micro_per_kwh, row.long_micro_per_kwh) for row in found)


def imbalance_rows(
    interval: int,
    accounts: Sequence[int],
    metered_milli_wh: Sequence[int],
    position_milli_wh: Sequence[int],
    forgiven_milli_wh: Sequence[int],
    tariffs_of: Sequence[Tariff],
    *,
    settled_in: int,
) -> list[dict[str, Any]]:
    """Price each account's own deviation as the contract will."""
    short = [tariff.short_micro_per_kwh for tariff in tariffs_of]
    long = [tariff.long_micro_per_kwh for tariff in tariffs_of]
    imbalance = imbalance_milli_wh(metered_milli_wh, 0, position_milli_wh, forgiven_milli_wh, short)
    return [
        {
            "interval": interval,
            "account": account,
            "position_milli_wh": position,
            "metered_milli_wh": metered,
            "imbalance_milli_wh": milli_wh,
            "amount_pico": amount,
            "settled_in": settled_in,
        }
        for account, position, metered, milli_wh, amount in zip(
            accounts,
            position_milli_wh,
            metered_milli_wh,
            imbalance.tolist(),
            receipts_pico(imbalance, short, long),
            strict=True,
        )
    ]
