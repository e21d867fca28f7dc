"""Steps on time, fills, readings, tariffs and curtailments."""

from random import Random

from market.orders import Order as SignedOrder
from node.chain import calldata, typed_data
from node.chain.calldata import ReadCall, SignedFill, SignedReading
from node.chain.typed_data import Tariff
from tests.contract.choices import Choices
from tests.contract.model_state import MAX_CAPACITY, MAX_REGISTER, Chunk, Order, Reading
from tests.contract.twins import CAPACITY_MILLI_WH, PARAMETERS


class TradeSteps(Choices):
    """What the operator, meters, the oracle and the controller do."""

    # -------------------------------------------------------------- choices

    def open_interval(self, r: Random) -> int:
        """Return an interval that may be filled now, newest rounds first; rarely another one."""
        now, newest = self.model.now, self.model.newest[0]
        first = max(now - PARAMETERS.fill_window_s // PARAMETERS.length_s, newest)
        if r.random() < 0.05 or first >= now:
            return now + r.randrange(-6, 2)
        if r.random() < 0.01:
            return first - 1  # mostly one that later rounds have overtaken
        unread = self.oldest_unread()
        return r.choice([first, min(max(first, unread), now - 1), r.randrange(first, now)])

    def prices(self, r: Random, interval: int, round_: int) -> tuple[int, ...]:
        if (interval, round_) == self.model.newest[:2] and r.random() < 0.97:
            return self.model.newest[2]
        low = r.choice([-60_000, 100_000, 200_000])
        prices = (low, low + r.choice([0, 0, 30_000]))
        odd = r.random()
        if odd < 0.02:
            return prices[:1]
        return (*prices[:1], 4_000_001) if odd < 0.04 else prices

    def order(
        self, r: Random, account: int, is_buy: bool, quantity: int, interval: int, prices: tuple[int, ...]
    ) -> Order:
        """Return an order that is right for its account; sometimes wrong in one thing."""
        a = self.model.accounts[account]
        agents = [x for x in a.agents if x[0] <= interval] or [(0, "operator", 0)]
        _, signer, epoch = agents[-1]
        used = {lane for when, lane in a.lanes if when == interval}
        lane = min(set(range(33)) - used)
        side, zone = 1 if is_buy else -1, min(a.zone, len(prices) - 1)
        best = prices[zone] + side * PARAMETERS.fee_micro_per_kwh
        limit = best if r.random() < 0.3 else side * 4_000_000
        whole = quantity + r.choice([0, 0, 500])
        first, last = interval - r.choice([0, 2]), interval + r.choice([0, 3])
        wrong = r.choice(["signer", "agent", "epoch", "lane", "first", "last", "limit", "whole"])
        if r.random() < 0.04:
            match wrong:
                case "signer":
                    signer = self.name(r)
                case "agent" if a.agents:
                    _, signer, epoch = r.choice(a.agents)
                case "epoch":
                    epoch += r.choice([-1, 1]) if epoch else 1
                case "lane":
                    lane = r.choice([*used, 32])
                case "first":
                    first = last = interval + 1
                case "last":
                    first = last = interval - 1
                case "limit":
                    limit = best - side
                case "whole":
                    whole = max(0, quantity - 1)
        return Order(account, epoch, is_buy, lane, first, last, whole, limit, signer)

    def fills(self, r: Random, interval: int, prices: tuple[int, ...]) -> list[tuple[Order, int]]:
        """Return a balanced result of an auction: sellers first, then buyers, or the other way round."""
        found: list[tuple[Order, int]] = []
        unread = [n for n, a in self.members.items() if a.read < interval]
        unused = unread if r.random() < 0.97 else list(range(2, len(self.model.accounts)))
        r.shuffle(unused)
        for _ in range(r.randrange(0, 3)):
            if len(unused) < 2:
                break
            quantity = r.choice([1, 100, 1000, r.randrange(1, 3000)])
            seller, buyer = unused.pop(), unused.pop()
            if self.model.accounts[buyer].balance == 0:
                seller, buyer = buyer, seller
            if r.random() < 0.03:
                seller = self.account(r)
            if r.random() < 0.02:
                quantity = CAPACITY_MILLI_WH + 1
            sides = [(seller, False), (buyer, True)]
            r.shuffle(sides)
            found += [(self.order(r, who, buys, quantity, interval, prices), quantity) for who, buys in sides]
        carried = self.model.carried
        if carried and interval == self.model.newest[0] and r.random() < 0.4:
            found = self.continuation(r, interval, unread, prices)
        if found and r.random() < 0.03:
            row = r.randrange(len(found))
            found[row] = (found[row][0], found[row][1] + r.choice([-1, 1]))
        return found

    def continuation(
        self, r: Random, interval: int, unread: list[int], prices: tuple[int, ...]
    ) -> list[tuple[Order, int]]:
        """Return fills that go on with the order filled last on either side, or on both."""
        carried = dict(self.model.carried)
        if len(carried) == 2 and r.random() < 0.5:
            left = min(order.quantity - filled for order, filled in carried.values())
            quantity = left if left > 0 and r.random() < 0.9 else left + 1
            found = [(order, quantity) for order, _ in carried.values()]
            r.shuffle(found)
            return found
        order, filled = carried[r.choice(list(carried))]
        left = max(order.quantity - filled, 1)
        others = [n for n in unread if n != order.account]
        if not others or order.account not in unread:
            return []
        other = self.order(r, r.choice(others), not order.is_buy, left, interval, prices)
        part = left // 2
        # the other side's order is filled between two parts of this one
        parts = (
            [(order, part), (other, left), (order, left - part)] if part else [(order, left), (other, left)]
        )
        return parts if r.random() < 0.8 else parts[::-1]

    def reading(self, r: Random, account: int, interval: int, *, is_right: bool = False) -> Reading:
        """Return a register near what was promised; sometimes wrong in one thing."""
        a = self.model.accounts[account]
        signer = self.model.meter_of(account, interval) or "operator"
        is_exchanged = len(a.meters) > 1 and interval >= a.meters[1][0]
        offset = a.meters[1][2] if is_exchanged else 0
        missed = r.choice([0, r.randrange(-3000, 3000), r.randrange(-1000, 0)])
        delta = max(-CAPACITY_MILLI_WH, min(CAPACITY_MILLI_WH, a.positions.get(interval, 0) + missed))
        substitutes_s = self.model.end_s(interval) + 2 * PARAMETERS.fill_window_s
        is_substitute = self.model.now_s >= substitutes_s and r.random() < 0.5
        if is_substitute:
            signer = self.model.holder(2)
        if r.random() < (0.2 if len(a.meters) > 1 else 0.04) and not is_right:
            match r.choice(["signer", "jump", "substitute", "meter", "offset"]):
                case "signer":
                    signer = self.name(r)
                case "jump":
                    delta = a.capacity + 1
                case "substitute":
                    is_substitute = not is_substitute
                case "meter" if a.meters:
                    signer = r.choice([a.meters[0][1], a.meters[-1][1]])
                case "offset" if a.meters:
                    offset = a.meters[-1][2] - offset
        register = max(-MAX_REGISTER - 1, min(a.register + offset + delta, MAX_REGISTER))
        return Reading(account, register, is_substitute, signer)

    def readings(self, r: Random, interval: int) -> list[Reading]:
        due = [n for n, a in self.members.items() if a.read + 1 == interval]
        found = [self.reading(r, account, interval) for account in due if r.random() < 0.9]
        if r.random() < 0.03:
            found.append(self.reading(r, self.account(r), interval))
        return found

    def tariffs(self, r: Random, interval: int) -> tuple[tuple[int, int], ...]:
        if interval in self.model.tariffs and r.random() < 0.98:
            return self.model.tariffs[interval]
        return ((300_000, 80_000), (320_000, 60_000))

    # -------------------------------------------------------------- what is signed for the chain

    def signed_fill(self, order: Order, quantity: int) -> SignedFill:
        signed = SignedOrder(
            order.account, order.epoch, order.is_buy, order.lane, order.first, order.last, order.quantity, order.limit
        )  # fmt: skip
        return SignedFill(signed, quantity, self.sign(order.signer, signed))

    def signed_reading(self, x: Reading, interval: int) -> SignedReading:
        kind = typed_data.Substitute if x.is_substitute else typed_data.Reading
        message = kind(x.account, interval, x.register)
        return SignedReading(x.account, x.register, x.is_substitute, self.sign(x.signer, message))

    # -------------------------------------------------------------- steps

    def time_passes(self, r: Random) -> None:
        length = PARAMETERS.length_s
        to_border_s = length - self.model.now_s % length
        steps = [length, length, length, length, to_border_s, to_border_s - 1, 1, r.randrange(9 * length)]
        self.twins.pass_time(r.choice(steps))
        for interval in range(max(self.model.tariffs, default=self.first_interval) + 1, self.model.now):
            if r.random() < 0.98:
                self._publish(r, interval)

    def days_go_by(self, r: Random) -> None:
        """Let time pass in which nobody trades, every tariff is published and every meter read."""
        for _ in range(r.choice([1, 2, 4, 13])):
            self.twins.pass_time(PARAMETERS.length_s)
            for interval in range(self.oldest_unread(), self.model.now):
                if interval not in self.model.tariffs:
                    self._publish(r, interval)
                is_over_s = self.model.end_s(interval) + PARAMETERS.fill_window_s
                if interval < self.model.newest[0] or self.model.now_s >= is_over_s:
                    due = [n for n, a in self.members.items() if a.read + 1 == interval]
                    self._bring_in(interval, [self.reading(r, n, interval, is_right=True) for n in due])

    def _publish(self, r: Random, interval: int) -> None:
        short = r.choice([300_000, 250_000, -10_000])
        table = ((short, min(short, 80_000)), (short + 20_000, min(short, -5_000)))
        signer = self.model.holder(1)
        odd = r.random()
        if odd < 0.02:
            signer = self.name(r)
        elif odd < 0.04:
            table = ((4_000_001, 0), table[1])
        elif odd < 0.06:
            table = ((short, short + 1), table[1])
        elif odd < 0.063:  # whoever is in the other zone cannot be read then
            table = table[:1]  # type: ignore[assignment]
        tariffs = typed_data.Tariffs(interval, tuple(Tariff(*row) for row in table))
        signature = self.sign(signer, tariffs)
        self.both(
            lambda m: m.publish(interval, table, signer),
            self.send("grid", "publish_tariffs", interval, list(table), *signature),
        )

    def tariffs_are_published(self, r: Random) -> None:
        missing = [t for t in range(self.oldest_unread(), self.model.now + 1) if t not in self.model.tariffs]
        self._publish(r, missing[0] if missing and r.random() < 0.9 else self.model.now - 1)

    def a_chunk_is_settled(self, r: Random) -> None:
        interval = self.open_interval(r)
        newest = self.model.newest
        round_ = r.choice([0, 0, 1, 3])
        if interval == newest[0]:
            round_ = min(newest[1] + r.choice([*[0] * 8, *[1] * 6, -1]), 4) % 5
        prices = self.prices(r, interval, round_)
        fills = self.fills(r, interval, prices)
        readings = self.readings(r, interval) if r.random() < 0.6 else []
        chunk = Chunk(
            sequence=self.model.sequence + (r.random() < 0.02),
            interval=interval,
            round=round_,
            prices=prices,
            fills=tuple(fills),
            tariffs=self.tariffs(r, interval) if readings else (),
            readings=tuple(readings),
            signer=self.model.holder(0) if r.random() > 0.02 else self.name(r),
        )
        chain = self.twins.chain
        call = chain.chunk(
            interval,
            [self.signed_fill(order, quantity) for order, quantity in fills],
            [self.signed_reading(x, interval) for x in readings],
            round_=round_,
            prices=chunk.prices,
            tariffs=[Tariff(*row) for row in chunk.tariffs],
            sequence=chunk.sequence,
            signer=self.twins.keys[chunk.signer],
        )
        if self.both(lambda m: m.settle(chunk), lambda: chain.carry_in(call)):
            self.tally.done["fills"] += len(fills)
            self.tally.done["readings"] += len(readings)

    def readings_are_brought_in(self, r: Random) -> None:
        reads = [a.read for a in self.members.values()]
        interval = r.choice([min(reads), r.choice(reads)]) + 1 if r.random() < 0.97 else self.model.now
        is_over = self.model.now_s >= self.model.end_s(interval) + PARAMETERS.fill_window_s
        if not (is_over or interval < self.model.newest[0]) and r.random() < 0.8:
            return self.a_chunk_is_settled(r)
        return self._bring_in(interval, self.readings(r, interval), self.tariffs(r, interval))

    def _bring_in(
        self, interval: int, readings: list[Reading], tariffs: tuple[tuple[int, int], ...] | None = None
    ) -> None:
        table = self.model.tariffs.get(interval, ()) if tariffs is None else tariffs
        call = ReadCall(
            interval,
            tuple(Tariff(*row) for row in table),
            tuple(self.signed_reading(x, interval) for x in readings),
        )
        chain = self.twins.chain
        data = calldata.read_calldata(call)
        if self.both(
            lambda m: m.read(interval, table, tuple(readings)),
            lambda: chain.evm.send(chain.carrier, chain.deployment.settlement, data),
        ):
            self.tally.done["readings without the operator"] += len(readings)
            self.tally.done["substitutes"] += sum(x.is_substitute for x in readings)

    def something_is_curtailed(self, r: Random) -> None:
        account, quantity = self.account(r), r.choice([100, 1000, MAX_CAPACITY, 0])
        a = self.model.accounts[account]
        interval = a.read + r.choice([1, 1, 1, 2, 0])
        if r.random() < 0.1:
            interval = self.model.now + r.randrange(PARAMETERS.notice_intervals + 2)
        if len(a.meters) > 1 and r.random() < 0.5:
            interval = a.meters[1][0]
        if r.random() < 0.02:
            quantity = MAX_CAPACITY + 1
        signer = self.model.holder(3) if r.random() > 0.05 else self.name(r)
        signature = self.sign(signer, typed_data.Curtailment(account, interval, quantity))
        self.both(
            lambda m: m.curtail(account, interval, quantity, signer),
            self.send("grid", "curtail", account, interval, quantity, *signature),
        )
