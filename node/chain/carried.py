"""Is what our transaction wanted on chain already, because somebody else carried it in?

Whatever the operator, the oracle, the grid role or a meter has signed may be carried in by anyone: chunks,
tariffs, curtailments, late readings, a grid event's records, its payments and refund. Our own transaction of
the same content then reverts, and nothing is wrong. Here that is told apart from another content, which must
halt settlement.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from node.chain import calldata, typed_data
from node.chain.abi import Contract, Event
from node.chain.calldata import SettleCall, SignedReading
from node.chain.contracts import Contracts, Deployment
from node.chain.ports import Address, Chain, ChainUnavailable, Hash, Log
from node.chain.typed_data import Tariff
from node.chain.words import AccountWord, KeyWord
from node.errors import Permanent

# Blocks asked for at once when looking back for an event.
WINDOW = 256


class CarriedOtherwise(Permanent):
    """In the place of our transaction the chain holds another content; the text names account and amount."""


@dataclass(frozen=True, slots=True)
class Carried:
    """Somebody else's transaction that did what ours wanted.

    `rest` is calldata of what is still to be done, where they did a part; None if nothing is.
    """

    hash: Hash
    block_number: int
    block_hash: Hash
    rest: bytes | None = None


class Carriage:
    """Looks on chain for what calls of one deployment wanted.

    Parameters
    ----------
    chain : Chain
        Where to look.
    contracts : Contracts
        To read calls, views and events.
    deployment : Deployment
        Whose contracts the calls go to.
    """

    def __init__(self, chain: Chain, contracts: Contracts, deployment: Deployment) -> None:
        self._chain = chain
        self._deployment = deployment
        self._settlement = _Seen(chain, contracts.settlement, deployment.settlement)
        self._split = _Seen(chain, contracts.split, deployment.split)
        settlement, split = contracts.settlement, contracts.split
        self._finders: Mapping[tuple[Address, bytes], Callable[[bytes], Carried | None]] = {
            (deployment.settlement, calldata.SETTLE_SELECTOR): self._chunk,
            (deployment.settlement, calldata.READ_SELECTOR): self._readings,
            (deployment.settlement, settlement.selector("publish_tariffs")): self._tariffs,
            (deployment.settlement, settlement.selector("curtail")): self._curtailment,
            (deployment.split, split.selector("record")): self._record,
            (deployment.split, split.selector("pay")): self._payments,
            (deployment.split, split.selector("refund")): self._refund,
        }

    def find(self, to: Address | None, data: bytes) -> Carried | None:
        """Return who did what this call wanted; None if it is not done, or only its sender may do it.

        Raises
        ------
        CarriedOtherwise
            If something else stands in its place for good.
        """
        finder = None if to is None else self._finders.get((to, data[:4]))
        return None if finder is None else finder(data)

    # -------------------------------------------------------------- chunks

    def _chunk(self, data: bytes) -> Carried | None:
        ours = calldata.decode_settle(data)
        if self._settlement.view("next_seq") <= ours.sequence:
            return None
        found = self._settlement.newest("ChunkSettled", lambda said: said["seq"] == ours.sequence)
        if found is None:
            return None
        log, event = found
        block = self._chain.block(log.block_number)
        if block is None or block.hash != log.block_hash:
            raise ChainUnavailable(f"block {log.block_number} was replaced while it was looked at")
        calls = self._chain.calls(block, (self._deployment.settlement,))
        theirs = next((call.data for call in calls if call.hash == log.transaction_hash), None)
        if theirs is not None and theirs[:4] == calldata.SETTLE_SELECTOR:
            self._compare(ours, calldata.decode_settle(theirs))
        else:  # through a contract of theirs: only the event tells; the projection compares every account
            self._compare_event(ours, event)
        return _carried(log)

    def _compare(self, ours: SettleCall, theirs: SettleCall) -> None:
        if self._deeds(ours) == self._deeds(theirs):
            return
        what = f"chunk {ours.sequence} on chain is another one"
        here, there = (ours.interval, ours.round), (theirs.interval, theirs.round)
        if here != there:
            raise CarriedOtherwise(f"{what}: of interval and round {there}, planned {here}")
        received, received_there = self._received_pico(ours), self._received_pico(theirs)
        for account in sorted(received.keys() | received_there.keys()):
            planned, settled = received.get(account, 0), received_there.get(account, 0)
            if planned != settled:
                raise CarriedOtherwise(
                    f"{what}: account {account} received {settled} pico-credit, planned {planned}, "
                    f"by {settled - planned}"
                )
        registers, registers_there = _registers(ours), _registers(theirs)
        for account in sorted(registers.keys() | registers_there.keys()):
            planned_, settled_ = registers.get(account), registers_there.get(account)
            if planned_ != settled_:
                raise CarriedOtherwise(
                    f"{what}: account {account} was read at {settled_} mWh, planned {planned_}"
                )
        accounts = sorted({fill.order.account for fill in ours.fills})
        raise CarriedOtherwise(
            f"{what}: other orders of the same amounts, or another order of fills, {accounts}"
        )

    def _deeds(self, call: SettleCall) -> tuple[Any, ...]:
        """Return what the operator signs: all that a chunk does, not how its signatures are written."""
        domain = self._deployment.domain
        return (
            call.interval,
            call.round,
            call.prices_micro_per_kwh,
            [(typed_data.order_hash(domain, fill.order), fill.quantity_milli_wh) for fill in call.fills],
            [(reading.account, reading.register_milli_wh) for reading in call.readings],
        )

    def _received_pico(self, call: SettleCall) -> dict[int, int]:
        """Return what each account receives for its fills, after the fee."""
        fee = self._deployment.parameters.fee_micro_per_kwh
        found: dict[int, int] = {}
        for fill in call.fills:
            account, sold = fill.order.account, fill.sold_milli_wh
            zone = KeyWord.unpack(self._settlement.view("keys", account)).zone
            price = call.prices_micro_per_kwh[zone]
            found[account] = found.get(account, 0) + sold * price - abs(sold) * fee
        return found

    def _compare_event(self, ours: SettleCall, event: Event) -> None:
        volume = sum(fill.quantity_milli_wh for fill in ours.fills)
        fee_pico = volume * self._deployment.parameters.fee_micro_per_kwh
        planned = {"interval": ours.interval, "round": ours.round, "volume": volume, "fee": fee_pico}
        for name, value in planned.items():
            if event.arguments[name] != value:
                raise CarriedOtherwise(
                    f"chunk {ours.sequence} on chain has {name} {event.arguments[name]}, planned {value}, "
                    f"by {event.arguments[name] - value}"
                )

    # -------------------------------------------------------------- beside chunks

    def _tariffs(self, data: bytes) -> Carried | None:
        interval, table, _, _ = self._settlement.contract.arguments("publish_tariffs", data)
        ours = tuple(Tariff(*row) for row in table)
        found_hash = self._settlement.view("tariffs_of", interval)
        if found_hash == bytes(32):
            return None
        found = self._settlement.newest("TariffsPublished", lambda said: said["interval"] == interval)
        if found is None:
            return None
        log, event = found
        if found_hash != typed_data.table_hash(ours):
            theirs = [tuple(row) for row in event.arguments["tariffs"]]
            raise CarriedOtherwise(
                f"interval {interval} has tariffs (short, long) {theirs} micro-credit per kWh on chain, "
                f"planned {[tuple(row) for row in ours]}"
            )
        return _carried(log)

    def _curtailment(self, data: bytes) -> Carried | None:
        account, interval, quantity, _, _ = self._settlement.contract.arguments("curtail", data)
        settled = self._settlement.view("curtailed", account, interval)
        if settled == 0:
            return None
        found = self._settlement.newest(
            "Curtailed", lambda said: (said["account"], said["interval"]) == (account, interval)
        )
        if found is None:
            return None
        if settled != quantity:
            raise CarriedOtherwise(
                f"account {account} is forgiven {settled} mWh of interval {interval} on chain, planned "
                f"{quantity}, by {settled - quantity}"
            )
        return _carried(found[0])

    def _readings(self, data: bytes) -> Carried | None:
        """Readings that others brought in are done; what is not read yet is left.

        Another register in the place of ours is no contradiction: the contract takes none that the account's
        meter did not sign (or the registrar for it), so it is that meter's word, and the next register puts the
        account right in either case. The hub takes it over (node/hub/carried_readings).
        """
        ours = calldata.decode_read(data)
        words = self._settlement.view("words", [reading.account for reading in ours.readings])
        rest: list[SignedReading] = []
        done: list[Log] = []
        for reading, word in zip(ours.readings, words, strict=True):
            if AccountWord.unpack(word).read < ours.interval:
                rest.append(reading)
                continue
            found = self._who_read(reading.account, ours.interval)
            if found is None:  # in a chunk, which only our operator can have sealed
                return None
            done.append(found)
        if not done:
            return None
        newest = max(done, key=lambda log: (log.block_number, log.index))
        left = calldata.read_calldata(replace(ours, readings=tuple(rest))) if rest else None
        return _carried(newest, left)

    def _who_read(self, account: int, interval: int) -> Log | None:
        """Return the event of whoever brought in an account's reading of an interval."""
        closes_s = (interval + 1) * self._deployment.parameters.length_s

        def is_it(said: Mapping[str, Any]) -> bool:
            return said["interval"] == interval and account in {row[0] for row in said["readings"]}

        found = self._settlement.newest("ReadingsBroughtIn", is_it, since_s=closes_s)
        return None if found is None else found[0]

    # -------------------------------------------------------------- grid events

    def _record(self, data: bytes) -> Carried | None:
        number, account, baseline, _, before, after = self._split.contract.arguments("record", data)
        contribution = after[0] - before[0] - baseline
        found = self._about("Recorded", number, account)
        if found is None:
            return None
        log, event = found
        settled = event.arguments["contribution"]
        if settled != contribution:
            raise CarriedOtherwise(
                f"account {account} has contributed {settled} mWh to grid event {number} on chain, planned "
                f"{contribution}, by {settled - contribution}"
            )
        return _carried(log)

    def _payments(self, data: bytes) -> Carried | None:
        """Shares that others had paid are done; the amounts are the contract's own."""
        number, accounts = self._split.contract.arguments("pay", data)
        paid = {account: self._about("Paid", number, account) for account in accounts}
        done = [found[0] for found in paid.values() if found is not None]
        if not done:
            return None
        rest = [account for account, found in paid.items() if found is None]
        newest = max(done, key=lambda log: (log.block_number, log.index))
        return _carried(newest, self._split.contract.encode("pay", number, rest) if rest else None)

    def _refund(self, data: bytes) -> Carried | None:
        (number,) = self._split.contract.arguments("refund", data)
        found = self._about("Refunded", number)
        return None if found is None else _carried(found[0])

    def _about(self, name: str, number: int, account: int | None = None) -> tuple[Log, Event] | None:
        """Return a grid event's newest log of a name, about an account where one is given."""
        first = self._split.view("events", number)[2]
        begins_s = first * self._deployment.parameters.length_s

        def is_it(said: Mapping[str, Any]) -> bool:
            return said["id"] == number and account in (None, said.get("account"))

        return self._split.newest(name, is_it, since_s=begins_s)


class _Seen:
    """One contract as the chain shows it."""

    def __init__(self, chain: Chain, contract: Contract, address: Address) -> None:
        self._chain = chain
        self.contract = contract
        self._address = address

    def view(self, function: str, *arguments: Any) -> Any:
        data = self.contract.encode(function, *arguments)
        return self.contract.result(function, self._chain.call(self._address, data))

    def newest(
        self, name: str, is_it: Callable[[Mapping[str, Any]], bool], since_s: int = 0
    ) -> tuple[Log, Event] | None:
        """Look back from the head for an event, not further than a block of time `since_s`."""
        last = self._chain.head().number
        while last >= 0:
            first = max(0, last - WINDOW + 1)
            for log in reversed(self._chain.logs(first, last, (self._address,))):
                event = self.contract.event(log.topics, log.data)
                if event is not None and event.name == name and is_it(event.arguments):
                    return log, event
            begin = self._chain.block(first)
            if begin is not None and begin.timestamp_s < since_s:
                return None
            last = first - 1
        return None


def _registers(call: SettleCall) -> dict[int, int]:
    return {reading.account: reading.register_milli_wh for reading in call.readings}


def _carried(log: Log, rest: bytes | None = None) -> Carried:
    return Carried(log.transaction_hash, log.block_number, log.block_hash, rest)
