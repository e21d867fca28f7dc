"""The composition root: opens a community's state and wires its services together around it."""

from dataclasses import dataclass
from datetime import time
from pathlib import Path

import numpy as np

from market.chunks import Tariff
from market.metering import Registers
from market.timeslot_runs import TimeslotTerms
from market.timeslots import TimeslotSchedule
from node.agent.device_node import AgentFleet, AgentKeys
from node.audit.publishing import Frame, Publisher, network_of
from node.bus.memory import MemoryBus
from node.chain.carried import Carriage
from node.chain.contracts import Contracts, Deployment, cache_folder, compile_contracts
from node.chain.embedded import EmbeddedChain
from node.chain.reconcile import recover
from node.chain.sender import Sender
from node.chain.typed_data import Domain
from node.chain.watcher import Watcher
from node.clock import VirtualClock
from node.controller.network import CapacityTree
from node.data_folder import FIRST_ACCOUNT, State, open_or_found
from node.founding import ROLE_NAMES, Keyring
from node.hub.carried_readings import CarriedReadings
from node.hub.clearing import Clearing
from node.hub.dispatch import Dispatch
from node.hub.flexibility import Flexibility, SplitDesk, planned_events
from node.hub.frequency import FrequencyServices
from node.hub.late_readings import LateReadings, WindowTerms
from node.hub.margin_desk import MarginDesk
from node.hub.market_view import MarketView
from node.hub.metering import Metering
from node.hub.registry import Registry
from node.hub.settled import first_unread, last_settled
from node.hub.settlement import Settlement
from node.hub.timeslot_desk import TimeslotDesk
from node.hub.trading import DoorPolicy, Trading, load_book
from node.hub.voiding import GivingUp
from node.hub.zones import load_zoning
from node.profiles import ProfileSet
from node.profiles.frequency import frequency_record_pu
from node.scenario import Scenario
from node.store.unit_of_work import Store
from node.world import plant as plants
from node.world.islands import microgrid_terms
from node.world.meters import MeterBank, ProfileMeters
from node.world.plant import Plant
from node.world.supplier import Supplier
from node.world.tied_racks import rack_control, ride_terms
from node.world.wiring import voltage_control


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
    schedule: TimeslotSchedule
    timeslots: TimeslotDesk | None
    supplier: Supplier
    desk: MarginDesk
    trading: Trading
    clearing: Clearing
    metering: Metering
    carried_readings: CarriedReadings
    late_readings: LateReadings
    dispatch: Dispatch
    agents: AgentFleet
    meters: MeterBank
    view: MarketView
    flexibility: Flexibility
    frequency: FrequencyServices
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
        State(self.store, self.chain, self.deployment).close()


def open_community(
    scenario: Scenario, profiles: ProfileSet, data: Path | None, store_url: str | None = None
) -> Community:
    """Open the community of a data folder, or found it there first; None keeps everything in memory.

    `store_url` names the PostgreSQL database of a folder; without it, it is an SQLite file in there.

    Raises
    ------
    WrongCommunity, StoreUnwritable, ChainLocked, WrongChain
        As `open_or_found` says.
    SettlementHalted
        If store and chain differ in a way that no restart explains.
    """
    plant = plants.build(scenario)
    keys = Keyring(scenario.seed, scenario.name)
    state = open_or_found(scenario, plant, keys, opening_s(scenario), data, store_url)
    try:
        return _wire(scenario, plant, profiles, keys, state, None if data is None else data / "bundles")
    except BaseException:
        state.close()
        raise


def opening_s(scenario: Scenario) -> int:
    """Return when the community is founded: an hour before its first day-ahead gate."""
    first = scenario.delivery_intervals().start
    gate_s = round_schedule(scenario).closes_s(first, 0)
    return gate_s - 3_600


def round_schedule(scenario: Scenario) -> TimeslotSchedule:
    """Return the gates of the scenario's market."""
    minutes = scenario.market.day_ahead_gate
    return TimeslotSchedule(
        scenario.grid,
        scenario.zone,
        day_ahead_at=time(minutes // 60 % 24, minutes % 60),
        lead_s=(scenario.market.final_gate_s,),
    )


def _wire(
    scenario: Scenario,
    plant: Plant,
    profiles: ProfileSet,
    keys: Keyring,
    state: State,
    bundles: Path | None,
) -> Community:
    store, chain, deployment = state
    is_signed = scenario.study.signing and scenario.study.chain
    domain = Domain(scenario.chain.chain_id, bytes(20)) if deployment is None else deployment.domain
    clock, bus = VirtualClock(float(opening_s(scenario))), MemoryBus()
    first = scenario.delivery_intervals().start
    contracts = sender = watcher = None
    if chain is not None and deployment is not None:
        contracts = compile_contracts(cache_folder())
        frame = _frame(store, plant, domain)
        signers = {name: keys.role(name) for name in ROLE_NAMES} | {"buyer": keys.buyer()}
        sender = Sender(
            store,
            chain,
            signers,
            Carriage(chain, contracts, deployment),
            give_up=GivingUp(contracts, deployment, keys.role("operator"), frame),
            makes_blocks=True,
        )
        watcher = Watcher(store, chain, contracts, deployment)
        recover(store, chain, contracts, deployment, sender, watcher)
    supplier = Supplier(scenario)
    widest = _widest_tariff(scenario)
    with store.read() as connection:
        registry, zoning = Registry.load(connection), load_zoning(connection)
        settled = last_settled(connection, is_on_chain=chain is not None, before=first - 1)
        book = load_book(connection, settled + 1)
        unread = first_unread(connection, settled, first - 1)
        desk = MarginDesk(registry, lambda _interval: widest, unread - 1, is_bounded=chain is not None)
        desk.replay(connection, unread)
        for interval in range(unread, settled + 1):  # in which somebody's meter was silent
            desk.settled(connection, interval)
    schedule = round_schedule(scenario)
    view = MarketView(store, registry, 1 if zoning is None else zoning.tree.n_nodes)
    people = scenario.participants
    account = np.arange(FIRST_ACCOUNT, FIRST_ACCOUNT + len(people))
    topology = plant.topology
    dispatch = controller(scenario, plant)
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
    timeslot_desk = None
    if scenario.market.timeslots is not None:
        terms = TimeslotTerms(3_600 // scenario.interval_s, scenario.market.timeslots.volatility_max)
        timeslot_desk = TimeslotDesk(store, schedule, terms, supplier, ProfileMeters(profiles), view)
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
        zoning=zoning,
        slot_of=schedule.slot_of,
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
        publisher = Publisher(store, sender, frame, bundles)
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
        timeslots=timeslot_desk,
        supplier=supplier,
        desk=desk,
        trading=trading,
        clearing=clearing,
        metering=Metering(domain, registry, clock, curtailer.address, is_signed=is_signed),
        carried_readings=CarriedReadings(registry),
        late_readings=LateReadings(
            domain,
            registry,
            WindowTerms(scenario.interval_s, scenario.chain.fill_window_s),
            keys.role("registrar") if is_signed else None,
        ),
        dispatch=dispatch,
        agents=agents,
        meters=meters,
        view=view,
        flexibility=flexibility,
        frequency=FrequencyServices(
            scenario, plant, frequency_record_pu(scenario), agents, flexibility, FIRST_ACCOUNT, split_desk
        ),
        domain=domain,
        chain=chain,
        contracts=contracts,
        deployment=deployment,
        settlement=settlement,
        sender=sender,
        watcher=watcher,
        publisher=publisher,
    )


def _frame(store: Store, plant: Plant, domain: Domain) -> Frame:
    """Return what all bundles of the community say the same."""
    with store.read() as connection:
        registry = Registry.load(connection)
    topology = plant.topology
    network = network_of(
        topology.ids,
        topology.parent,
        registry.account.tolist(),
        topology.node_of_participant,
        registry.member_of,
        registry.sources,
    )
    return Frame(domain, network)


def controller(scenario: Scenario, plant: Plant, *, optimises: bool = True) -> Dispatch:
    """Return the controller over the community's network and devices; without taps if it does not optimise."""
    topology = plant.topology
    return Dispatch(
        CapacityTree(topology.ids, topology.parent, topology.import_cap_w, topology.export_cap_w),
        plant.fleet,
        plant.node,
        plant.participant,
        topology.node_of_participant,
        lends=plant.lends,
        interval_s=scenario.interval_s,
        microgrids=microgrid_terms(scenario, topology),
        voltage=voltage_control(plant, optimises=optimises),
        # The twin without taps compares wires, not transfers.
        racks=rack_control(scenario, plant) if optimises else None,
        ride=ride_terms(scenario, plant),
    )


def _widest_tariff(scenario: Scenario) -> Tariff:
    """Return the highest short and lowest long tariff of the scenario, for worst cases."""
    tariff = scenario.tariff
    short = [window.price_micro_per_kwh for window in tariff.short_price_windows]
    long = [tariff.long_price_micro_per_kwh]
    if tariff.island is not None:
        short.append(tariff.island.short_price_micro_per_kwh)
        long.append(tariff.island.long_price_micro_per_kwh)
    return Tariff(max(short), min(long))
