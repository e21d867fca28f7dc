"""A member's meter is silent towards the hub, and he brings its readings in on chain, through a contract of his own.

Nothing of it may stop anybody's settlement: neither a reading that the hub never got, nor one that comes before
the registrar's substitute, nor a chunk of the hub that his contract carries in first.
"""

from pathlib import Path

import httpx
import pytest
import rlp
from eth_hash.auto import keccak
from sqlalchemy import select

from node import profiles
from node.api.app import create_app
from node.audit.bundle import file_name
from node.audit.intervals import Auditor
from node.chain import calldata, typed_data
from node.chain.calldata import ReadCall, SignedReading, read_calldata
from node.chain.keys import derive
from node.chain.ports import Fees, Hash
from node.chain.reconcile import reconcile
from node.chain.transactions import sign_transaction
from node.chain.typed_data import CompactSignature, Reading, Tariff
from node.community import FIRST_ACCOUNT, Community, open_community
from node.hub.metering import load_tariffs
from node.report.silent_meters import silent_meters
from node.simulation import Simulation
from node.store.tables_chain import carriers, outbox
from node.store.tables_market import carried_readings, imbalances, readings, substitutes
from tests.serving import serve
from tests.simulation.conftest import Ran
from tests.simulation.test_silent_meter import SILENT_FROM, rows_of, scenario_with_a_silent_meter
from tests.simulation.test_verify import replayed
from tests.unit.node.chain.stranger import courier_code

STRANGER = derive(99, "stranger")
GAS = 14_000_000
_TO, _DATA = 5, 7  # in an EIP-1559 transaction
CHUNK_OF = 15  # the interval whose first chunk he carries in


class Owner:
    """Sun's owner: he knows what his meter shows, and sends when he likes, always through his contract."""

    def __init__(self, community: Community) -> None:
        assert community.deployment is not None and community.chain is not None
        self._community, self._settlement = community, community.deployment.settlement
        self._first = community.scenario.delivery_intervals().start
        self._send, self._nonce = community.chain.send_raw, 0
        self._registers: dict[int, int] = {}
        self._contract = keccak(rlp.encode([STRANGER.address, 0]))[12:]
        self._sign(None, courier_code(self._settlement))
        community.chain.send_raw = self.send_raw  # type: ignore[method-assign]

    def send_raw(self, raw: bytes) -> Hash:
        """Stand between the hub and its chain."""
        fields = rlp.decode(raw[1:])
        to, data = fields[_TO], fields[_DATA]
        if (to, data[:4]) == (self._settlement, calldata.SETTLE_SELECTOR):
            chunk = calldata.decode_settle(data)
            self._registers[chunk.interval] = int(self._community.meters.registers.register_milli_wh[0])
            if chunk.interval == self._first + CHUNK_OF:
                self._sign(self._contract, data)
            sent = self._send(raw)
            if chunk.interval == self._first + SILENT_FROM:  # the one before cannot be filled any more
                self._bring_in(self._first + SILENT_FROM - 1)
            return sent
        if (to, data[:4]) == (self._settlement, calldata.READ_SELECTOR):
            late = calldata.decode_read(data)
            if late.interval == self._first + SILENT_FROM and late.readings[0].is_substitute:
                self._bring_in(late.interval)
        return self._send(raw)

    def _bring_in(self, interval: int) -> None:
        community = self._community
        message = Reading(FIRST_ACCOUNT, interval, self._registers[interval])
        signer = community.keys.meter(community.scenario.participants[0].id)
        signature = CompactSignature(*typed_data.sign(signer, community.domain, message))
        reading = SignedReading(FIRST_ACCOUNT, self._registers[interval], False, signature)
        with community.store.read() as connection:
            table = tuple(Tariff(*row) for row in load_tariffs(connection, interval))
        self._sign(self._contract, read_calldata(ReadCall(interval, table, (reading,))))

    def _sign(self, to: bytes | None, data: bytes) -> None:
        chain_id = self._community.scenario.chain.chain_id
        raw, _ = sign_transaction(
            STRANGER, chain_id=chain_id, nonce=self._nonce, to=to, data=data, gas=GAS, fees=Fees(0, 0)
        )
        self._nonce += 1
        self._send(raw)


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    data: Path = tmp_path_factory.mktemp("carried")
    scenario = scenario_with_a_silent_meter(data)
    community = open_community(scenario, profiles.load(scenario), data)
    Owner(community)
    Simulation(community).run(scenario.delivery_intervals().stop)
    yield Ran(community, data)
    community.close()


def test_what_he_brought_in_counts_and_what_he_did_not_is_substituted(carried: Ran) -> None:
    first = carried.community.scenario.delivery_intervals().start
    taken = rows_of(carried.community, carried_readings)
    assert [row.interval - first for row in taken] == [SILENT_FROM - 1, SILENT_FROM]
    # the first came before the hub knew anything, the second in the place of its substitute
    assert taken[0].known_register_milli_wh is None
    assert taken[1].known_register_milli_wh not in (None, taken[1].register_milli_wh)
    substituted = [row.interval - first for row in rows_of(carried.community, substitutes)]
    assert substituted == [SILENT_FROM + 1, SILENT_FROM + 2]


def test_the_bill_is_what_the_meter_showed(carried: Ran) -> None:
    metered = sum(row.metered_milli_wh for row in rows_of(carried.community, imbalances))
    assert metered == carried.community.meters.registers.register_milli_wh[0]


def test_nobody_else_notices(carried: Ran, ran: Ran) -> None:
    people = len(carried.community.scenario.participants)
    for account in range(FIRST_ACCOUNT + 1, FIRST_ACCOUNT + people):
        mine, undisturbed = (rows_of(one.community, readings, account) for one in (carried, ran))
        assert [row.register_milli_wh for row in mine] == [row.register_milli_wh for row in undisturbed]
        assert all(row.settled_in == row.interval for row in mine)


def test_his_transactions_are_remembered(carried: Ran) -> None:
    query = select(outbox.c.kind).join(carriers, carriers.c.outbox_id == outbox.c.id)
    with carried.community.store.read() as connection:
        kinds = list(connection.execute(query).scalars())
    assert set(kinds) == {"late-readings", "chunk"}


def test_an_auditor_follows_all_of_it(carried: Ran) -> None:
    auditor = Auditor(replayed(carried.community))
    for interval in carried.community.scenario.delivery_intervals():
        data = (carried.data / "bundles" / file_name(interval)).read_bytes()
        assert auditor.check(interval, data) is None
    assert auditor.record.general == []


def test_the_report_and_the_statement_say_so(carried: Ran) -> None:
    community = carried.community
    with community.store.read() as connection:
        (told,) = silent_meters(connection, community.scenario.delivery_intervals())
    assert (told.substituted, told.carried) == ({"silent": 2}, 2)
    assert "2 brought in on chain past the hub" in told.in_words()
    with serve(create_app(community)) as url:
        statement = httpx.get(f"{url}/v1/participants/{FIRST_ACCOUNT}/statement").json()["items"]
    why = [line["interval"] for line in statement if "brought in on chain past the hub" in line["reason"]]
    assert why == [row.interval for row in rows_of(community, carried_readings)]


def test_store_and_chain_agree_in_everything(carried: Ran) -> None:
    community = carried.community
    assert community.chain is not None
    assert community.contracts is not None and community.deployment is not None
    with community.store.read() as connection:
        found = reconcile(
            connection, community.chain, community.contracts, community.deployment, is_full=True
        )
    assert found == []
