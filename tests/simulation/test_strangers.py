"""A stranger carries in whatever anyone may, always before the hub: the day ends as if nobody had."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import rlp
from sqlalchemy import func, select

from node import profiles
from node.audit.intervals import Auditor
from node.audit.publishing import file_name
from node.chain import calldata
from node.chain.contracts import Contracts, Deployment
from node.chain.embedded import EmbeddedChain
from node.chain.keys import derive
from node.chain.ports import Fees, Hash
from node.chain.transactions import sign_transaction
from node.community import open_community
from node.report import export
from node.report.summary import summarise
from node.report.terminal import figures
from node.scenario import load
from node.simulation import Simulation
from node.store.tables_chain import carriers, outbox
from tests.simulation.conftest import CORNER, Ran
from tests.simulation.test_verify import replayed

STRANGER = derive(99, "stranger")
GAS = 14_000_000
_TO, _DATA = 5, 7  # in an EIP-1559 transaction


def carrying_first(
    chain: EmbeddedChain, contracts: Contracts, deployment: Deployment
) -> Callable[[bytes], Hash]:
    """Return a `send_raw` that lets the stranger send the same calldata before, where anyone may."""
    settlement, split, send = contracts.settlement, contracts.split, chain.send_raw
    anyones = {
        (deployment.settlement, calldata.SETTLE_SELECTOR),
        *((deployment.settlement, settlement.selector(name)) for name in ("publish_tariffs", "curtail")),
        *((deployment.split, split.selector(name)) for name in ("record", "pay", "refund")),
    }

    def send_raw(raw: bytes) -> Hash:
        fields = rlp.decode(raw[1:])
        to, data = fields[_TO], fields[_DATA]
        if (to, data[:4]) in anyones:
            nonce = chain.nonce(STRANGER.address, is_pending=True)
            theirs, _ = sign_transaction(
                STRANGER, chain_id=chain.chain_id, nonce=nonce, to=to, data=data, gas=GAS, fees=Fees(0, 0)
            )
            send(theirs)
        return send(raw)

    return send_raw


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    data = tmp_path_factory.mktemp("strangers")
    scenario = load(CORNER)
    community = open_community(scenario, profiles.load(scenario), data)
    assert community.contracts is not None and community.deployment is not None
    carried = carrying_first(community.chain, community.contracts, community.deployment)
    community.chain.send_raw = carried  # type: ignore[method-assign]
    Simulation(community).run(scenario.delivery_intervals().stop)
    yield Ran(community, data)
    community.close()


def test_every_transaction_that_anyone_may_send_was_somebody_elses(disturbed: Ran) -> None:
    query = select(outbox.c.kind, func.count()).join(carriers, carriers.c.outbox_id == outbox.c.id)
    with disturbed.community.store.read() as connection:
        carried = dict(connection.execute(query.group_by(outbox.c.kind)).all())
        planned = dict(connection.execute(select(outbox.c.kind, func.count()).group_by(outbox.c.kind)).all())
    own = {"bundle", "install", "flex-open"}  # the sender itself counts in these
    assert carried == {kind: n for kind, n in planned.items() if kind not in own}
    assert {"chunk", "tariffs", "flex-record", "flex-pay"} <= set(carried)


def test_all_tables_are_as_on_an_undisturbed_day(disturbed: Ran, ran: Ran, tmp_path: Path) -> None:
    found = []
    for i, one in enumerate((disturbed, ran)):
        with one.community.store.read() as connection:
            paths = export.write_tables(connection, tmp_path / str(i))
        found.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths})
    assert found[0] == found[1]


def test_an_auditor_finds_the_day_in_order(disturbed: Ran) -> None:
    auditor = Auditor(replayed(disturbed.community))
    for interval in disturbed.community.scenario.delivery_intervals():
        data = (disturbed.data / "bundles" / file_name(interval)).read_bytes()
        assert auditor.check(interval, data) is None


def test_the_summary_says_how_much_others_carried_in(disturbed: Ran, ran: Ran) -> None:
    for one, is_said in ((disturbed, True), (ran, False)):
        with one.community.store.read() as connection:
            settled = dict(figures(summarise(connection, one.scenario)))["settled"]
        assert ("carried in by others" in settled) == is_said
