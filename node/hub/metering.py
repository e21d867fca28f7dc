"""Meters' signed registers and the controller's signed curtailments: checked, stored, priced as imbalance.

The last register of every account is the anchor: a reading is the next interval's or it is refused, the same
reading again is harmless, and another value for an interval already read is an alarm.
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
from node.store.tables_market import curtailments, imbalances, readings, tariffs


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

        Raises
        ------
        ReadingRefused
            If a reading is forged, of an unknown account, not the next interval's, a second value for the
            same interval, or moves the register by more than the connection can carry.
        """
        known = self._stored(connection, interval)
        fresh = [reading for reading in batch if not self._is_repeat(reading, interval, known)]
        if not fresh:
            return
        before = self._last_registers(connection)
        position = positions_milli_wh(connection, interval)
        forgiven = _curtailed(connection, interval)
        tariff = load_tariffs(connection, interval)
        if not tariff:
            raise ReadingRefused(f"interval {interval} has no tariff yet: publish it before reading meters")
        reading_rows, imbalance_rows = [], []
        seen: set[int] = set()
        for reading in fresh:
            row = self._registry.row(reading.account)
            if row is None:
                raise ReadingRefused(f"account {reading.account} is not connected here")
            if reading.account in seen:
                raise ReadingRefused(
                    f"account {reading.account}: two readings of interval {interval} in one batch"
                )
            seen.add(reading.account)
            last_interval, last_register = before.get(reading.account, (None, 0))
            if last_interval is not None and interval != last_interval + 1:
                raise ReadingRefused(
                    f"account {reading.account}: reading of interval {interval}, "
                    f"the next one is {last_interval + 1}"
                )
            metered = reading.register_milli_wh - last_register
            capacity = int(self._registry.capacity_milli_wh[row])
            if abs(metered) > capacity:
                raise ReadingRefused(
                    f"account {reading.account}, interval {interval}: register moved by {metered} mWh, "
                    f"the connection carries {capacity}"
                )
            self._check_signature(
                typed_data.Reading(reading.account, interval, reading.register_milli_wh),
                CompactSignature(reading.r, reading.vs),
                self._registry.meter[row],
                reading.account,
            )
            reading_rows.append(self._reading_row(reading))
            imbalance_rows.append(
                _imbalance_row(
                    reading.account,
                    interval,
                    position.get(reading.account, 0),
                    metered,
                    forgiven.get(reading.account, 0),
                    tariff[int(self._registry.zone[row])],
                )
            )
        connection.execute(insert(readings), reading_rows)
        connection.execute(insert(imbalances), imbalance_rows)

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

    def _reading_row(self, reading: MeterReading) -> dict[str, Any]:
        return {
            "interval": reading.interval,
            "account": reading.account,
            "register_milli_wh": reading.register_milli_wh,
            "is_substitute": reading.is_substitute,
            "signature": CompactSignature(reading.r, reading.vs).to_bytes(),
            "received_at_s": int(self._clock.now_s()),
        }

    def _stored(self, connection: Connection, interval: int) -> dict[int, int]:
        found = connection.execute(
            select(readings.c.account, readings.c.register_milli_wh).where(readings.c.interval == interval)
        )
        return {row.account: row.register_milli_wh for row in found}

    def _last_registers(self, connection: Connection) -> dict[int, tuple[int, int]]:
        newest = connection.execute(select(func.max(readings.c.interval))).scalar()
        if newest is None:
            return {}
        found = connection.execute(
            select(readings.c.account, readings.c.register_milli_wh).where(readings.c.interval == newest)
        )
        return {row.account: (newest, row.register_milli_wh) for row in found}


def _curtailed(connection: Connection, interval: int) -> dict[int, int]:
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


def _imbalance_row(
    account: int, interval: int, position: int, metered: int, forgiven: int, tariff: Tariff
) -> dict[str, Any]:
    """Price an account's own deviation as the contract will."""
    short, long = tariff
    imbalance = imbalance_milli_wh(metered, 0, position, forgiven, short)
    return {
        "interval": interval,
        "account": account,
        "position_milli_wh": position,
        "metered_milli_wh": metered,
        "imbalance_milli_wh": int(imbalance),
        "amount_pico": receipts_pico(imbalance, short, long)[0],
    }
