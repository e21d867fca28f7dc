"""The composition root: opens or founds a community in a data folder and wires its services together.

```
DATA/state/chain.sqlite     the embedded chain
DATA/state/store.sqlite     the hub's database
DATA/state/contracts.json   the address book
DATA/bundles/NNNNNNNN.jsonl what anybody needs to recompute an interval (docs/VERIFY.md)
```

Founding happens in a folder of its own that gets its name at the very end: a community exists wholly or not.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from datetime import time
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, func, insert, select

from market.chunks import Tariff
from market.metering import Registers
from market.rounds import RoundSchedule
from node import plant as plants
from node.agent.device_node import AgentFleet, AgentKeys
from node.audit.publishing import Frame, Publisher, network_of
from node.bus.memory import MemoryBus
from node.chain.contracts import (
    Contracts,
    Deployment,
    cache_folder,
    compile_contracts,
    load_address_book,
    save_address_book,
)
from node.chain.embedded import EmbeddedChain, Genesis
from node.chain.reconcile import recover
from node.chain.sender import Sender
from node.chain.typed_data import Domain
from node.chain.watcher import Watcher
from node.clock import VirtualClock
from node.controller.network import CapacityTree
from node.errors import Permanent
from node.founding import ROLE_NAMES, Keyring, found
from node.hub.clearing import Clearing
from node.hub.dispatch import Dispatch
from node.hub.flexibility import Flexibility, SplitDesk, planned_events
from node.hub.margin_desk import MarginDesk
from node.hub.market_view import MarketView
from node.hub.metering import Metering
from node.hub.registry import Registry
from node.hub.replaying import FEE
from node.hub.settlement import Settlement
from node.hub.trading import DoorPolicy, Trading, load_book
from node.hub.zones import load_zoning
from node.meters import MeterBank, ProfileMeters
from node.plant import Plant, describe
from node.profiles import ProfileSet
from node.scenario import Scenario
from node.scenario.zones import price_zones, zone_of_participants
from node.store import (  # noqa: F401  (tables register themselves)
    tables_chain,
    tables_devices,
    tables_market,
    tables_racks,
)
from node.store.tables_chain import chain_accounts
from node.store.tables_devices import devices, nodes
from node.store.tables_market import accounts, meta, participants, readings, zones
from node.store.unit_of_work import Store
from node.supplier import Supplier
from node.tied_racks import rack_control, ride_terms

FIRST_ACCOUNT = 2  # after GRID and FEES


class WrongCommunity(Permanent):
    """The data folder belongs to another scenario or seed."""


@dataclass(slots=True)
class Community:
    """Everything that runs for one community, wired together."""

    scenario: Scenario
    plant: Plant
    profiles: ProfileSet
    keys: Keyring
    clock: VirtualClock
    bus: MemoryBus
    store: Store
    registry: Registry
    schedule: RoundSchedule
    supplier: Supplier
    desk: MarginDesk
    trading: Trading
    clearing: Clearing
    metering: Metering
    dispatch: Dispatch
    agents: AgentFleet
    meters: MeterBank
    view: MarketView
    flexibility: Flexibility
    domain: Domain
    chain: EmbeddedChain | None
    contracts: Contracts | None
    deployment: Deployment | None
    settlement: Settlement | None
    sender: Sender | None
    watcher: Watcher | None
    publisher: Publisher | None

    def close(self) -> None:
        """Give files and locks back."""
        if self.chain is not None:
            self.chain.close()
        self.store.close()


def fingerprint(scenario: Scenario) -> str:
    """Return what a data folder belongs to: the scenario without its length."""
    content = scenario.model_dump(mode="json", exclude={"days", "description"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def open_community(scenario: Scenario, profiles: ProfileSet, data: Path | None) -> Community:
    """Open the community of a data folder, or found it there first; None keeps everything in memory.

    Raises
    ------
    WrongCommunity
        If the folder belongs to another scenario.
    StoreUnwritable, ChainLocked, WrongChain, SettlementHalted
        As store, chain and recovery say.
    """
    plant = plants.build(scenario)
    keys = Keyring(scenario.seed, scenario.name)
    founded_s = opening_s(scenario)
    if data is None:
        store, chain, deployment = _found(scenario, plant, keys, founded_s, None)
    else:
        state = data / "state"
        if not state.exists():
            _found_in(scenario, plant, keys, founded_s, data)
        store = Store(f"sqlite:///{state / 'store.sqlite'}")
        chain, deployment = None, None
        if scenario.study.chain:
            chain = EmbeddedChain(state / "chain.sqlite")
            deployment = load_address_book(state / "contracts.json")
    _check_belongs(store, scenario)
    bundles = None if data is None else data / "bundles"
    return _wire(scenario, plant, profiles, keys, store, chain, deployment, bundles)


def opening_s(scenario: Scenario) -> int:
    """Return when the community is founded: an hour before its first day-ahead gate."""
    first = scenario.delivery_intervals().start
    gate_s = round_schedule(scenario).closes_s(first, 0)
    return gate_s - 3_600


def round_schedule(scenario: Scenario) -> RoundSchedule:
    """Return the gates of the scenario's market."""
    minutes = scenario.market.day_ahead_gate
    return RoundSchedule(
        scenario.grid,
        scenario.zone,
        day_ahead_at=time(minutes // 60 % 24, minutes % 60),
        lead_s=(scenario.market.final_gate_s,),
    )


def _found_in(scenario: Scenario, plant: Plant, keys: Keyring, at_s: int, data: Path) -> None:
    """Found in a folder beside, then give it its name: half a community is never found."""
    partial = data / "founding.partial"
    if partial.exists():
        shutil.rmtree(partial)  # what an earlier attempt that was stopped left behind
    partial.mkdir(parents=True)
    store, chain, deployment = _found(scenario, plant, keys, at_s, partial)
    store.close()
    if chain is not None and deployment is not None:
        chain.close()
        save_address_book(partial / "contracts.json", deployment)
    partial.rename(data / "state")


def _found(
    scenario: Scenario, plant: Plant, keys: Keyring, at_s: int, folder: Path | None
) -> tuple[Store, EmbeddedChain | None, Deployment | None]:
    store = Store("sqlite://" if folder is None else f"sqlite:///{folder / 'store.sqlite'}")
    store.create_tables()
    chain, deployment = None, None
    if scenario.study.chain:
        genesis = Genesis(scenario.chain.chain_id, at_s, note=scenario.name[:32])
        chain = EmbeddedChain(None if folder is None else folder / "chain.sqlite", genesis)
        deployment = found(chain, compile_contracts(cache_folder()), scenario, keys, at_s + 1)
    _record(store, scenario, plant, keys)
    return store, chain, deployment


def _record(store: Store, scenario: Scenario, plant: Plant, keys: Keyring) -> None:
    """Write down who takes part, with what, where."""
    fleet, topology = plant.fleet, plant.topology
    zone_of, zones_of_market = zone_of_participants(scenario), price_zones(scenario)
    with store.begin() as connection:
        facts = {"scenario": fingerprint(scenario), "name": scenario.name, "seed": str(scenario.seed)}
        facts[FEE] = str(scenario.market.fee_micro_per_kwh)
        connection.execute(insert(meta), [{"key": k, "value": v} for k, v in facts.items()])
        connection.execute(
            insert(participants),
            [
                {"id": row + 1, "name": p.name, "kind": p.kind, "owner": keys.owner(p.id).address}
                for row, p in enumerate(scenario.participants)
            ],
        )
        connection.execute(
            insert(accounts),
            [
                {
                    "account": row + FIRST_ACCOUNT,
                    "participant_id": row + 1,
                    "agent": keys.agent(p.id).address,
                    "meter": keys.meter(p.id).address,
                    "epoch": 1,
                    "zone": zone_of[row],
                    "node": topology.ids[topology.node_of_participant[row]],
                    "capacity_milli_wh": scenario.capacity_milli_wh(p),
                }
                for row, p in enumerate(scenario.participants)
            ],
        )
        if zones_of_market:
            connection.execute(insert(zones), [asdict(zone) for zone in zones_of_market])
        connection.execute(
            insert(devices),
            [
                {
                    "id": row,
                    "name": fleet.names[row],
                    "account": int(plant.participant[row]) + FIRST_ACCOUNT,
                    "kind": plants.kind_name(fleet, row),
                    "node": topology.ids[plant.node[row]],
                    "parameters": json.dumps(describe(plant, row)),
                }
                for row in range(fleet.n_devices)
            ],
        )
        connection.execute(
            insert(nodes),
            [
                {
                    "name": name,
                    "parent": None if topology.parent[row] < 0 else topology.ids[topology.parent[row]],
                    "import_cap_w": float(topology.import_cap_w[row]),
                    "export_cap_w": float(topology.export_cap_w[row]),
                }
                for row, name in enumerate(topology.ids)
            ],
        )


def _check_belongs(store: Store, scenario: Scenario) -> None:
    with store.read() as connection:
        found = {row.key: row.value for row in connection.execute(select(meta))}
    if found.get("scenario") != fingerprint(scenario):
        raise WrongCommunity(
            f"the data folder belongs to scenario {found.get('name')!r} with seed {found.get('seed')}, "
            f"not to this {scenario.name!r} with seed {scenario.seed}: choose another --data folder"
        )


def _wire(
    scenario: Scenario,
    plant: Plant,
    profiles: ProfileSet,
    keys: Keyring,
    store: Store,
    chain: EmbeddedChain | None,
    deployment: Deployment | None,
    bundles: Path | None,
) -> Community:
    is_signed = scenario.study.signing and scenario.study.chain
    domain = Domain(scenario.chain.chain_id, bytes(20)) if deployment is None else deployment.domain
    clock, bus = VirtualClock(float(opening_s(scenario))), MemoryBus()
    first = scenario.delivery_intervals().start
    contracts = sender = watcher = None
    if chain is not None and deployment is not None:
        contracts = compile_contracts(cache_folder())
        signers = {name: keys.role(name) for name in ROLE_NAMES} | {"buyer": keys.buyer()}
        sender = Sender(store, chain, signers)
        watcher = Watcher(store, chain, contracts, deployment)
        recover(store, chain, contracts, deployment, sender, watcher)
    supplier = Supplier(scenario)
    widest = _widest_tariff(scenario)
    with store.read() as connection:
        registry, zoning = Registry.load(connection), load_zoning(connection)
        settled = last_settled(connection, is_on_chain=chain is not None, before=first - 1)
        book = load_book(connection, settled + 1)
        desk = MarginDesk(registry, lambda _interval: widest, settled, is_bounded=chain is not None)
        desk.replay(connection, settled + 1)
    schedule = round_schedule(scenario)
    view = MarketView(store, registry)
    people = scenario.participants
    account = np.arange(FIRST_ACCOUNT, FIRST_ACCOUNT + len(people))
    topology = plant.topology
    tree = CapacityTree(topology.ids, topology.parent, topology.import_cap_w, topology.export_cap_w)
    dispatch = Dispatch(
        tree,
        plant.fleet,
        plant.node,
        plant.participant,
        topology.node_of_participant,
        lends=plant.lends,
        interval_s=scenario.interval_s,
        racks=rack_control(scenario, plant),
        ride=ride_terms(scenario, plant),
    )
    operator, oracle, curtailer = (keys.role(name) for name in ("operator", "oracle", "curtailer"))
    trading = Trading(
        store,
        domain,
        operator,
        registry,
        schedule,
        scenario.grid,
        clock,
        DoorPolicy(scenario.market.price_cap_micro_per_kwh, scenario.chain.notice_intervals, is_signed),
        book,
        desk,
    )
    clearing = Clearing(
        store,
        book,
        registry,
        topology.node_of_participant,
        topology.parent,
        clock,
        bus,
        desk,
        scenario.market.fee_micro_per_kwh,
        zoning,
    )
    agents = AgentFleet(
        plant,
        dispatch.first_world().fleet,
        AgentKeys(account, np.ones(len(people), np.int64), [keys.agent(p.id) for p in people]),
        domain,
        supplier,
        ProfileMeters(profiles),
        view,
        bus,
        is_signed=is_signed,
    )
    meters = MeterBank(
        account,
        registry.capacity_milli_wh,
        [keys.meter(p.id) for p in people],
        domain,
        is_signed,
        Registers.installed(len(people)),
    )
    settlement = split_desk = publisher = None
    if sender is not None and contracts is not None and deployment is not None:
        network = network_of(topology.ids, topology.parent, account, topology.node_of_participant)
        publisher = Publisher(store, sender, Frame(domain, network), bundles)
        settlement = Settlement(
            sender, contracts, deployment, operator, oracle, scenario.chain.max_fills_per_chunk, publisher
        )
        split_desk = SplitDesk(sender, contracts, deployment)
    flexibility = Flexibility(
        planned_events(scenario, plant.participant, plant.is_reserve, FIRST_ACCOUNT),
        scenario.grid,
        FIRST_ACCOUNT,
        agents.planned_export_wh,
        scenario.chain.record_window_s,
        split_desk,
    )
    return Community(
        scenario=scenario,
        plant=plant,
        profiles=profiles,
        keys=keys,
        clock=clock,
        bus=bus,
        store=store,
        registry=registry,
        schedule=schedule,
        supplier=supplier,
        desk=desk,
        trading=trading,
        clearing=clearing,
        metering=Metering(domain, registry, clock, curtailer.address, is_signed=is_signed),
        dispatch=dispatch,
        agents=agents,
        meters=meters,
        view=view,
        flexibility=flexibility,
        domain=domain,
        chain=chain,
        contracts=contracts,
        deployment=deployment,
        settlement=settlement,
        sender=sender,
        watcher=watcher,
        publisher=publisher,
    )


def last_settled(connection: Connection, *, is_on_chain: bool, before: int) -> int:
    """Return the newest interval whose readings are settled; `before` if none is."""
    if is_on_chain:
        query = select(func.min(chain_accounts.c.read)).where(
            chain_accounts.c.account >= FIRST_ACCOUNT, chain_accounts.c.is_metered
        )
    else:
        query = select(func.max(readings.c.interval))
    return max(before, connection.execute(query).scalar() or before)


def _widest_tariff(scenario: Scenario) -> Tariff:
    """Return the highest short and lowest long tariff of the scenario, for worst cases."""
    short = max(window.price_micro_per_kwh for window in scenario.tariff.short_price_windows)
    return Tariff(short, scenario.tariff.long_price_micro_per_kwh)
