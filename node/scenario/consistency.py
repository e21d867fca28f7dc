"""What no single field can tell: names that must exist or be unique, trees, ranges between fields."""

from collections.abc import Iterator, Sequence

from market.units import MAX_QUANTITY_MILLI_WH
from node.scenario import microgrid_consistency, wishes
from node.scenario.devices import (
    ElectricVehicle,
    Flywheel,
    Generator,
    KineticModule,
    PowerDeliveryUnit,
    Supercapacitor,
)
from node.scenario.mistakes import Location, Mistake
from node.scenario.models import Participant, PriceWindow, Scenario

MAX_ZONES = 32
"""Price zones that the contract takes (contracts/registry.vy)."""

# A flywheel's drive takes a second to full power, so its bank gives half a second's energy at full power; from its
# working point (0.65 of full) a third of the bank's energy is within reach either way, losses not counted.
BANK_S = 2.0


def find_mistakes(scenario: Scenario) -> list[Mistake]:
    """Return every contradiction between fields, in file order by section."""
    return [
        *_steps(scenario),
        *_tariff(scenario),
        *_chain(scenario),
        *_network(scenario),
        *_voltage(scenario),
        *_participants(scenario),
        *wishes.find_mistakes(scenario),
        *_events(scenario),
        *_frequency(scenario),
        *_failures(scenario),
        *_ties(scenario),
        *_faults(scenario),
        *(Mistake(*found) for found in microgrid_consistency.find_mistakes(scenario)),
        *_generated(scenario),
        *_profiles(scenario),
    ]


def _steps(scenario: Scenario) -> Iterator[Mistake]:
    if scenario.load_step_s is not None and scenario.interval_s % scenario.load_step_s:
        yield Mistake(("load_step_s",), f"expected a divisor of interval_s = {scenario.interval_s}")


def _tariff(scenario: Scenario) -> Iterator[Mistake]:
    tariff, cap = scenario.tariff, scenario.market.price_cap_micro_per_kwh
    yield from _windows(scenario, "short_price_windows", tariff.short_price_windows)
    yield from _windows(scenario, "levy_windows", tariff.levy_windows)
    if tariff.levy_windows and tariff.levies_micro_per_kwh:
        yield Mistake(
            ("tariff", "levies_micro_per_kwh"), "expected none beside levy_windows: they say all of it"
        )
    for i, window in enumerate(tariff.short_price_windows):
        where: Location = ("tariff", "short_price_windows", i)
        if window.price_micro_per_kwh > cap:
            yield Mistake((*where, "price_micro_per_kwh"), f"expected at most the price cap of {cap}")
        if window.price_micro_per_kwh < tariff.long_price_micro_per_kwh:
            yield Mistake(
                (*where, "price_micro_per_kwh"),
                f"expected at least the long price of {tariff.long_price_micro_per_kwh}: "
                "below it anybody could earn by being out of balance",
            )
    yield from _island_tariff(scenario)
    if abs(tariff.long_price_micro_per_kwh) > cap:
        yield Mistake(("tariff", "long_price_micro_per_kwh"), f"expected at most the price cap of {cap}")
    if scenario.market.fee_micro_per_kwh > cap:
        yield Mistake(("market", "fee_micro_per_kwh"), f"expected at most the price cap of {cap}")


def _windows(scenario: Scenario, name: str, windows: Sequence[PriceWindow]) -> Iterator[Mistake]:
    """Yield windows that do not cover a day in order, or do not fit the intervals."""
    if windows and windows[0].start != 0:
        yield Mistake(("tariff", name, 0, "start"), "expected the first window at 00:00")
    for i, window in enumerate(windows):
        where: Location = ("tariff", name, i)
        if i and window.start <= windows[i - 1].start:
            yield Mistake((*where, "start"), "expected a later time than the window before")
        if window.start >= 1_440:
            yield Mistake((*where, "start"), "expected a time before 24:00")
        if window.start * 60 % scenario.interval_s:
            yield Mistake((*where, "start"), f"expected a border of the {scenario.interval_s} s intervals")


def _island_tariff(scenario: Scenario) -> Iterator[Mistake]:
    island, cap = scenario.tariff.island, scenario.market.price_cap_micro_per_kwh
    if island is None:
        return
    where: Location = ("tariff", "island")
    for name in ("short_price_micro_per_kwh", "long_price_micro_per_kwh"):
        if abs(getattr(island, name)) > cap:
            yield Mistake((*where, name), f"expected at most the price cap of {cap}")
    if island.short_price_micro_per_kwh < island.long_price_micro_per_kwh:
        yield Mistake(
            (*where, "short_price_micro_per_kwh"),
            f"expected at least the island's long price of {island.long_price_micro_per_kwh}",
        )
    roots = {node.id for node in scenario.network if node.parent is None}
    for i, failure in enumerate(scenario.failures):
        if failure.kind == "supply" and failure.node not in roots and scenario.market.mechanism == "uniform":
            yield Mistake(
                ("failures", i, "node"),
                "expected the root: with one price zone, island prices can only hold for all; "
                "market.mechanism: network gives every node its own",
            )


def _chain(scenario: Scenario) -> Iterator[Mistake]:
    chain, length_s = scenario.chain, scenario.interval_s
    # The same three conditions as in Settlement's constructor: refused here with a line number.
    least_s = (chain.notice_intervals + 2) * length_s + 2 * chain.fill_window_s
    if chain.exit_delay_s <= least_s:
        yield Mistake(
            ("chain", "exit_delay_s"),
            f"expected more than (notice_intervals + 2) * interval_s + 2 * fill_window_s = {least_s}",
        )
    if chain.role_delay_s <= chain.exit_delay_s:
        yield Mistake(("chain", "role_delay_s"), f"expected more than exit_delay_s = {chain.exit_delay_s}")
    if 2 * chain.fill_window_s >= 480 * length_s:
        yield Mistake(("chain", "fill_window_s"), f"expected less than 240 intervals = {240 * length_s}")


def _network(scenario: Scenario) -> Iterator[Mistake]:
    if scenario.market.mechanism == "network" and len(scenario.network) > MAX_ZONES:
        yield Mistake(
            ("network",),
            f"expected at most {MAX_ZONES} nodes for a network auction, where each is a price zone, "
            f"got {len(scenario.network)}",
        )
    parents = {node.id: node.parent for node in scenario.network}
    yield from _grid_fees(scenario)
    roots = [node.id for node in scenario.network if node.parent is None]
    if len(roots) != 1:
        yield Mistake(("network",), f"expected exactly one node without a parent, got {roots or 'none'}")
    seen: set[str] = set()
    for i, node in enumerate(scenario.network):
        if node.id in seen:
            yield Mistake(("network", i, "id"), f"expected a new name, {node.id!r} is taken")
        seen.add(node.id)
        if node.parent is not None and node.parent not in parents:
            yield Mistake(("network", i, "parent"), f"expected the id of a node, got {node.parent!r}")
        elif _is_in_cycle(node.id, parents):
            yield Mistake(("network", i, "parent"), "expected a tree: this parent leads back to the node")


def _grid_fees(scenario: Scenario) -> Iterator[Mistake]:
    """Yield fees that no auction would charge."""
    by_level = scenario.market.grid_fee_by_level_micro_per_kwh
    if scenario.market.mechanism == "uniform":
        why = "expected none: with one price for all nobody pays by the way that energy takes"
        if any(by_level):
            yield Mistake(("market", "grid_fee_by_level_micro_per_kwh"), why)
        for i, node in enumerate(scenario.network):
            if node.grid_fee_micro_per_kwh:
                yield Mistake(("network", i, "grid_fee_micro_per_kwh"), why)
        return
    parents = {node.id: node.parent for node in scenario.network}
    deepest = 0
    for start in parents:
        if not _is_in_cycle(start, parents):
            at, level = parents[start], 0
            while at is not None:
                at, level = parents.get(at), level + 1
            deepest = max(deepest, level)
    if by_level and len(by_level) < deepest:
        yield Mistake(
            ("market", "grid_fee_by_level_micro_per_kwh"),
            f"expected a fee for each of {deepest} levels below the root, got {len(by_level)}",
        )


def _is_in_cycle(start: str, parents: dict[str, str | None]) -> bool:
    at: str | None = parents.get(start)
    for _ in parents:
        if at is None:
            return False
        if at == start:
            return True
        at = parents.get(at)
    return False


def _voltage(scenario: Scenario) -> Iterator[Mistake]:
    has_voltage = scenario.voltage is not None
    for i, node in enumerate(scenario.network):
        if has_voltage and node.parent is not None and node.line is None:
            yield Mistake(
                ("network", i), "expected a line to the parent: section voltage needs its impedance"
            )
        if node.line is not None and node.parent is None:
            yield Mistake(("network", i, "line"), "expected none: the root hangs at the transformer")
        elif node.line is not None and not has_voltage:
            yield Mistake(("network", i, "line"), "expected a section voltage with it")
    for i, participant in enumerate(scenario.participants):
        for name in ("service", "phase"):
            if getattr(participant, name) is not None and not has_voltage:
                yield Mistake(("participants", i, name), "expected a section voltage with it")


def _participants(scenario: Scenario) -> Iterator[Mistake]:
    nodes = {node.id for node in scenario.network}
    people: set[str] = set()
    devices: set[str] = set()
    if not scenario.participants and scenario.generated_homes is None:
        yield Mistake(("participants",), "expected at least one participant, or generated_homes")
    for i, participant in enumerate(scenario.participants):
        where: Location = ("participants", i)
        if participant.id in people:
            yield Mistake((*where, "id"), f"expected a new name, {participant.id!r} is taken")
        people.add(participant.id)
        if participant.node not in nodes:
            yield Mistake((*where, "node"), f"expected the id of a network node, got {participant.node!r}")
        if scenario.capacity_milli_wh(participant) > MAX_QUANTITY_MILLI_WH:
            yield Mistake(
                (*where, "connection_capacity_w"),
                "expected a connection below 2^39 mWh per interval (about 2 GW at 15 min)",
            )
        if participant.levies == "net_of_fed_back" and (
            participant.load is not None or participant.solar is not None
        ):
            yield Mistake(
                (*where, "levies"),
                "expected import: one meter cannot tell what a storage feeds back from load and solar beside it",
            )
        if participant.load is None and participant.solar is None and not participant.devices:
            yield Mistake(where, "expected a load, solar or a device")
        for j, device in enumerate(participant.devices):
            if device.id in devices:
                yield Mistake((*where, "devices", j, "id"), f"expected a new name, {device.id!r} is taken")
            devices.add(device.id)
        yield from _devices(participant, where)


def _devices(participant: Participant, where: Location) -> Iterator[Mistake]:
    for j, device in enumerate(participant.devices):
        at = (*where, "devices", j)
        if isinstance(device, Generator):
            continue
        if device.soc_start_pu < device.reserve_pu and not isinstance(device, ElectricVehicle):
            yield Mistake((*at, "soc_start_pu"), f"expected at least reserve_pu = {device.reserve_pu:g}")
        if isinstance(device, ElectricVehicle):
            if device.required_wh > device.capacity_wh:
                yield Mistake((*at, "required_wh"), f"expected at most capacity_wh = {device.capacity_wh:g}")
            if device.trip_wh > device.required_wh:
                yield Mistake((*at, "trip_wh"), f"expected at most required_wh = {device.required_wh:g}")
            if device.arrival == device.departure:
                yield Mistake((*at, "departure"), "expected another time than arrival")
        elif isinstance(device, Flywheel | KineticModule) and device.speed_min_rpm >= device.speed_max_rpm:
            yield Mistake(
                (*at, "speed_min_rpm"), f"expected less than speed_max_rpm = {device.speed_max_rpm:g}"
            )
        elif isinstance(device, KineticModule) and device.bank_wh < BANK_S * device.p_max_w / 3_600:
            yield Mistake(
                (*at, "bank_wh"),
                f"expected at least {BANK_S * device.p_max_w / 3_600:.3g}: the bank carries p_max_w while the "
                "flywheel's drive takes over",
            )
        elif isinstance(device, Supercapacitor) and device.v_min_v >= device.v_max_v:
            yield Mistake((*at, "v_min_v"), f"expected less than v_max_v = {device.v_max_v:g}")
        elif isinstance(device, PowerDeliveryUnit) and device.threshold_low_pu >= device.threshold_high_pu:
            yield Mistake(
                (*at, "threshold_low_pu"),
                f"expected less than threshold_high_pu = {device.threshold_high_pu:g}",
            )


def _events(scenario: Scenario) -> Iterator[Mistake]:
    people = {participant.id for participant in scenario.participants}
    seen: set[str] = set()
    for i, event in enumerate(scenario.events):
        where: Location = ("events", i)
        if event.id in seen:
            yield Mistake((*where, "id"), f"expected a new name, {event.id!r} is taken")
        seen.add(event.id)
        if event.start * 60 % scenario.interval_s or event.start >= 1_440:
            yield Mistake(
                (*where, "start"), f"expected a border of the {scenario.interval_s} s intervals before 24:00"
            )
        for j, member in enumerate(event.members or ()):
            if member not in people:
                yield Mistake((*where, "members", j), f"expected the id of a participant, got {member!r}")


def _frequency(scenario: Scenario) -> Iterator[Mistake]:
    if scenario.frequency is None:
        return
    people = {participant.id for participant in scenario.participants}
    seen = {event.id for event in scenario.events}
    taken: dict[int, str] = {}
    per_day = 86_400 // scenario.interval_s
    for i, service in enumerate(scenario.frequency.services):
        where: Location = ("frequency", "services", i)
        if service.id in seen:
            yield Mistake((*where, "id"), f"expected a new name, {service.id!r} is taken")
        seen.add(service.id)
        if service.start * 60 % scenario.interval_s or service.start >= 1_440:
            yield Mistake(
                (*where, "start"), f"expected a border of the {scenario.interval_s} s intervals before 24:00"
            )
        first = service.day * per_day + service.start * 60 // scenario.interval_s
        if first < 2:
            yield Mistake((*where, "start"), "expected two delivery intervals before it, in which it is sold")
        for interval in range(first, first + service.duration_intervals):
            if taken.setdefault(interval, service.id) != service.id:
                yield Mistake(
                    where, f"expected an own time, {taken[interval]!r} is answered then: one at a time"
                )
                break
        for j, member in enumerate(service.members or ()):
            if member not in people:
                yield Mistake((*where, "members", j), f"expected the id of a participant, got {member!r}")
    for i, incident in enumerate(scenario.frequency.incidents):
        begins_s = incident.start * 60 + incident.after_s
        if begins_s % scenario.interval_s + incident.simulated_s > scenario.interval_s:
            yield Mistake(
                ("frequency", "incidents", i, "simulated_s"),
                f"expected to end inside its interval of {scenario.interval_s} s",
            )


def _failures(scenario: Scenario) -> Iterator[Mistake]:
    nodes = {node.id for node in scenario.network}
    people = {participant.id for participant in scenario.participants}
    for i, failure in enumerate(scenario.failures):
        where: Location = ("failures", i)
        if failure.kind == "meter" and failure.participant not in people:
            yield Mistake(
                (*where, "participant"), f"expected the id of a participant, got {failure.participant!r}"
            )
        if failure.start >= 1_440:
            yield Mistake((*where, "start"), "expected a time before 24:00")
        if failure.kind == "supply" and failure.node not in nodes:
            yield Mistake((*where, "node"), f"expected the id of a network node, got {failure.node!r}")


def _ties(scenario: Scenario) -> Iterator[Mistake]:
    has_generator = any(isinstance(d, Generator) for p in scenario.participants for d in p.devices)
    if has_generator and scenario.ride_through is None:
        yield Mistake(("ride_through",), "expected ride_through: without its plan nothing starts a generator")
    if scenario.ride_through is not None and scenario.microgrids:
        yield Mistake(("ride_through",), "expected no microgrids beside it: an island follows one plan")
    if scenario.ties is None:
        return
    people = {participant.id for participant in scenario.participants}
    step_s = scenario.load_step_s or scenario.interval_s
    if 3_600 % step_s:
        yield Mistake(
            ("load_step_s",), f"expected a divisor of an hour for forecasts of tied racks, got {step_s}"
        )
    if scenario.ties.lead_s >= step_s:
        yield Mistake(("ties", "lead_s"), f"expected less than the load step of {step_s} s")
    for i, cable in enumerate(scenario.ties.cables):
        where: Location = ("ties", "cables", i, "between")
        for name in cable.between:
            if name not in people:
                yield Mistake(where, f"expected ids of participants, got {name!r}")
        if cable.between[0] == cable.between[1]:
            yield Mistake(where, "expected two different participants")


def _faults(scenario: Scenario) -> Iterator[Mistake]:
    storages = {
        device.id
        for participant in scenario.participants
        for device in participant.devices
        if not isinstance(device, PowerDeliveryUnit | Generator)
    }
    for i, fault in enumerate(scenario.faults):
        where: Location = ("faults", i)
        if fault.device not in storages:
            yield Mistake(
                (*where, "device"), f"expected the id of a storage that is no PDU, got {fault.device!r}"
            )
        if fault.start * 60 % scenario.interval_s or fault.start >= 1_440:
            yield Mistake(
                (*where, "start"), f"expected a border of the {scenario.interval_s} s intervals before 24:00"
            )


def _generated(scenario: Scenario) -> Iterator[Mistake]:
    homes = scenario.generated_homes
    if homes is not None and homes.parent not in {node.id for node in scenario.network}:
        yield Mistake(
            ("generated_homes", "parent"), f"expected the id of a network node, got {homes.parent!r}"
        )


def _profiles(scenario: Scenario) -> Iterator[Mistake]:
    seen: set[str] = set()
    for i, file in enumerate(scenario.profiles.files if scenario.profiles else ()):
        if file.name in seen:
            yield Mistake(("profiles", "files", i, "name"), f"expected a new name, {file.name!r} is taken")
        seen.add(file.name)
