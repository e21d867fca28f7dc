"""Meters' signed registers and the controller's signed curtailments: checked, stored, priced as imbalance.

The last register of every account is the anchor: a reading is the next interval's or it is refused, the same
reading again is harmless, and another value for an interval already read is an alarm.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

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
            same interval, a substitute, or moves the register by more than the connection can carry.
        """
        known = self._stored(connection, interval)
        fresh = [reading for reading in batch if not self._is_repeat(reading, interval, known)]
        if not fresh:
            return
        before = self._registers_before(connection, interval, [reading.account for reading in fresh])
        position = positions_milli_wh(connection, interval)
        forgiven = _curtailed(connection, interval)
        tariff = load_tariffs(connection, interval)
        if not tariff:
            raise ReadingRefused(f"interval {interval} has no tariff yet: publish it before reading meters")
        reading_rows: list[dict[str, Any]] = []
        metered_milli_wh: list[int] = []
        zones: list[int] = []
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
            if reading.is_substitute:
                raise ReadingRefused(
                    f"account {reading.account}: a substitute is the registrar's to sign and to carry in, "
                    "a meter sends none"
                )
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
            metered_milli_wh.append(metered)
            zones.append(int(self._registry.zone[row]))
        insert_all(connection, readings, reading_rows)
        accounts = [row["account"] for row in reading_rows]
        insert_all(
            connection,
            imbalances,
            _imbalance_rows(
                interval,
                accounts,
                metered_milli_wh,
                [position.get(account, 0) for account in accounts],
                [forgiven.get(account, 0) for account in accounts],
                [tariff[zone] for zone in zones],
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

    def _registers_before(
        self, connection: Connection, interval: int, wanted: Sequence[int]
    ) -> dict[int, tuple[int, int]]:
        """Return each account's newest interval and register before this batch; nothing of who has none.

        Meters of one interval may come in several batches: each account has its own anchor.
        """
        found = connection.execute(
            select(readings.c.account, readings.c.register_milli_wh).where(
                readings.c.interval == interval - 1
            )
        )
        before = {row.account: (interval - 1, row.register_milli_wh) for row in found}
        for account in wanted:
            if account not in before:
                newest = connection.execute(
                    select(readings.c.interval, readings.c.register_milli_wh)
                    .where(readings.c.account == account)
                    .order_by(readings.c.interval.desc())
                    .limit(1)
                ).one_or_none()
                if newest is not None:
                    before[account] = (newest.interval, newest.register_milli_wh)
        return before


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


def _imbalance_rows(
    interval: int,
    accounts: Sequence[int],
    metered_milli_wh: Sequence[int],
    position_milli_wh: Sequence[int],
    forgiven_milli_wh: Sequence[int],
    tariffs_of: Sequence[Tariff],
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
