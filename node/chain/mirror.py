"""What mined transactions do to the accounts: calldata and events applied to the pure mirror of the contract.

Chunks carry their content in calldata, everything else in events, in the order in which it happened: a contract
of somebody's may do any number of things in one transaction. The mirror computes what the contract must have
done; where an event says what it did, the two are compared at once.
"""

from collections.abc import Callable, Mapping, Sequence

from market import chunks, registry, settlement
from market import ledger as books
from market.errors import ChunkRefused
from market.ledger import FEES, GRID, AccountState
from market.settlement import Ledger, Terms
from node.chain import calldata
from node.chain.abi import Event
from node.chain.calldata import SettleCall, SignedReading
from node.chain.contracts import Deployment
from node.chain.ports import Address, MinedCall
from node.chain.typed_data import CompactSignature, order_hash
from node.chain.words import KeyWord
from node.errors import Permanent


class ProjectionError(Permanent):
    """Chain and mirror contradict each other, or a call is in a form that cannot be followed: halt."""


def terms_of(deployment: Deployment) -> Terms:
    """Return the mirror's terms of a deployment."""
    p = deployment.parameters
    return Terms(
        fee_micro_per_kwh=p.fee_micro_per_kwh,
        price_cap_micro_per_kwh=p.price_cap_micro_per_kwh,
        length_s=p.length_s,
        notice=p.notice_intervals,
        fill_window_s=p.fill_window_s,
        exit_delay_s=p.exit_delay_s,
        role_delay_s=p.role_delay_s,
    )


class Mirror:
    """The Settlement contract's accounts after a block, in memory.

    Parameters
    ----------
    deployment : Deployment
        Whose contract it is.
    ledger : Ledger
        The state to go on from; changed in place.
    owners : dict[int, Address]
        Who owns which account.
    touch : Callable[[int], None]
        Called with an account before anything of it changes.
    planned : Callable[[int], bytes | None]
        The calldata with which the operator would have settled a chunk, by sequence: where a contract of
        somebody's carries one in, its content does not stand in the transaction.
    """

    def __init__(
        self,
        deployment: Deployment,
        ledger: Ledger,
        owners: dict[int, Address],
        touch: Callable[[int], None],
        planned: Callable[[int], bytes | None],
    ) -> None:
        self.ledger = ledger
        self.owners = owners
        self._domain = deployment.domain
        self._settlement = deployment.settlement
        self._touch = touch
        self._planned = planned
        self._handlers: Mapping[str, Callable[[Event, int], None]] = {
            "AccountOpened": self._opened,
            "KeyChanged": self._key_changed,
            "MeterChanged": self._meter_changed,
            "Curtailed": self._curtailed,
            "TariffsPublished": self._tariffs_published,
            "Deposited": self._deposited,
            "ExitRequested": self._exit_requested,
            "Withdrawn": self._withdrawn,
            "ReadingsBroughtIn": self._brought_in,
            "Collected": self._collected,
        }

    def apply(self, time_s: int, call: MinedCall | None, events: Sequence[Event]) -> list[SettleCall]:
        """Apply one successful transaction; return the chunks that it settled.

        Parameters
        ----------
        time_s : int
            The block's time.
        call : MinedCall or None
            The transaction if it goes to Settlement itself.
        events : Sequence[Event]
            What Settlement logged in it, in order.

        Raises
        ------
        ProjectionError
            If mirror and chain differ, or another contract carried in a chunk that is not known here.
        """
        is_chunk = call is not None and call.data[:4] == calldata.SETTLE_SELECTOR
        settled = []
        try:
            for event in events:
                if event.name == "ChunkSettled":
                    data = call.data if call is not None and is_chunk else self._planned_data(event)
                    settled.append(self._settle(data, time_s, event))
                handler = self._handlers.get(event.name)
                if handler is not None:
                    handler(event, time_s)
        except (ChunkRefused, calldata.BadCalldata) as error:
            name = "a transaction" if call is None else f"transaction 0x{call.hash.hex()}"
            raise ProjectionError(f"{name} was mined, but the mirror refuses it: {error}") from error
        self._compare_debts(events)
        return settled

    # -------------------------------------------------------------- chunks

    def _settle(self, data: bytes, time_s: int, event: Event) -> SettleCall:
        call = calldata.decode_settle(data)
        fills = [
            chunks.Fill(fill.order, order_hash(self._domain, fill.order), fill.quantity_milli_wh)
            for fill in call.fills
        ]
        for account in {GRID, FEES, *(f.order.account for f in fills), *(r.account for r in call.readings)}:
            self._touch(account)
        effect = settlement.settle(
            self.ledger,
            chunks.Chunk(
                call.sequence,
                call.interval,
                call.round,
                call.prices_micro_per_kwh,
                fills,
                _tariffs(call.tariffs),
                _readings(call.readings),
            ),
            time_s,
        )
        done = (effect.volume_milli_wh, effect.fee_pico, effect.rent_pico)
        said = tuple(event.arguments[name] for name in ("volume", "fee", "rent"))
        if said != done:
            raise ProjectionError(f"chunk {call.sequence}: volume, fee, rent are {said}, mirror {done}")
        return call

    def _planned_data(self, event: Event) -> bytes:
        """Return a chunk that came through a contract of somebody's: nobody but our operator can have sealed it."""
        data = self._planned(event.arguments["seq"])
        if data is None:
            raise ProjectionError(
                f"chunk {event.arguments['seq']} was carried in by another contract, and its content is not known here"
            )
        return data

    # -------------------------------------------------------------- events

    def _opened(self, event: Event, _time_s: int) -> None:
        account = event.arguments["account"]
        self._touch(account)
        self.owners[account] = event.arguments["owner"]
        opened = registry.open_account(self.ledger)
        if opened != account:
            raise ProjectionError(f"account {account} was opened, mirror {opened}")

    def _key_changed(self, event: Event, _time_s: int) -> None:
        account = event.arguments["account"]
        self._touch(account)
        key, state = KeyWord.unpack(event.arguments["key"]), self._state(account)
        state.epoch, state.epoch_since = key.epoch, key.since
        state.zone, state.capacity_milli_wh = key.zone, key.capacity_milli_wh

    def _meter_changed(self, event: Event, _time_s: int) -> None:
        account, first = event.arguments["account"], event.arguments["first"]
        self._touch(account)
        state = self._state(account)
        if state.is_metered:
            state.next_meter_first = first
            state.next_meter_offset_milli_wh = event.arguments["offset"]
        else:
            state.is_metered = True
            state.read = first - 1
            state.register_milli_wh = event.arguments["offset"]

    def _curtailed(self, event: Event, _time_s: int) -> None:
        account, interval = event.arguments["account"], event.arguments["interval"]
        self._touch(account)
        state = self._state(account)
        # a new dict, because drafts of the account share the old one
        state.curtailed_milli_wh = {**state.curtailed_milli_wh, interval: event.arguments["quantity"]}
        state.curtailed_newest = max(state.curtailed_newest, interval)

    def _brought_in(self, event: Event, time_s: int) -> None:
        interval = event.arguments["interval"]
        rows = readings_of(event)
        for account in {GRID, *(reading.account for reading in rows)}:
            self._touch(account)
        # the contract has compared the table that its caller gave with the published one
        table = self.ledger.tariffs.get(interval, ())
        settlement.read(self.ledger, interval, table, _readings(rows), time_s)

    def _collected(self, event: Event, _time_s: int) -> None:
        account = event.arguments["account"]
        self._touch(account)
        self._touch(GRID)
        books.collect(self._state(account), self._state(GRID))

    def _tariffs_published(self, event: Event, _time_s: int) -> None:
        table = tuple(chunks.Tariff(*row) for row in event.arguments["tariffs"])
        settlement.publish_tariffs(self.ledger, event.arguments["interval"], table)

    def _deposited(self, event: Event, _time_s: int) -> None:
        account = event.arguments["account"]
        self._touch(account)
        books.credit(self._state(account), event.arguments["amount"])

    def _exit_requested(self, event: Event, time_s: int) -> None:
        account, amount = event.arguments["account"], event.arguments["amount"]
        self._touch(account)
        self._touch(GRID)
        terms = self.ledger.terms
        leaving = books.request_exit(
            self._state(account),
            self._state(GRID),
            amount,
            ready_s=event.arguments["ready"],
            last_interval=time_s // terms.length_s + terms.notice,
        )
        if leaving != amount:
            raise ProjectionError(f"account {account}: {amount} pico-credit leave, mirror {leaving}")

    def _withdrawn(self, event: Event, time_s: int) -> None:
        account, amount = event.arguments["account"], event.arguments["amount"]
        self._touch(account)
        paid = books.withdraw(self._state(account), time_s)
        if paid != amount:
            raise ProjectionError(f"account {account}: {amount} pico-credit were paid out, mirror {paid}")

    def _compare_debts(self, events: Sequence[Event]) -> None:
        owed = {e.arguments["account"]: e.arguments["owed"] for e in events if e.name == "Owed"}
        for account, amount in owed.items():
            found = self._state(account).owed_pico
            if found != amount:
                raise ProjectionError(f"account {account} owes {amount} pico-credit, mirror {found}")

    def _state(self, account: int) -> AccountState:
        try:
            return self.ledger.accounts[account]
        except KeyError:
            raise ProjectionError(f"account {account} was never opened") from None


def readings_of(event: Event) -> list[SignedReading]:
    """Return what an event `ReadingsBroughtIn` says: the readings with their signatures."""
    return [
        SignedReading(account, register, is_substitute, CompactSignature(r, vs))
        for account, register, is_substitute, r, vs in event.arguments["readings"]
    ]


def _tariffs(table: Sequence[tuple[int, int]]) -> tuple[chunks.Tariff, ...]:
    return tuple(chunks.Tariff(*row) for row in table)


def _readings(rows: Sequence[SignedReading]) -> list[chunks.Reading]:
    return [chunks.Reading(row.account, row.register_milli_wh, row.is_substitute) for row in rows]
