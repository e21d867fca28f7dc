"""A community's data folder: founded whole or not at all, with who takes part written down, and whose it is.

```
DATA/state/chain.sqlite     the embedded chain
DATA/state/store.sqlite     the hub's database; or store.url, where a PostgreSQL server has it
DATA/state/contracts.json   the address book
DATA/bundles/NNNNNNNN.jsonl what anybody needs to recompute an interval (docs/VERIFY.md)
```

Founding happens in a folder of its own that gets its name at the very end: a community exists wholly or not.
"""

import hashlib
import json
import shutil
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import insert, select

from node.chain.abi import ContractError
from node.chain.contracts import (
    Deployment,
    cache_folder,
    compile_contracts,
    load_address_book,
    save_address_book,
    verify,
)
from node.chain.embedded import EmbeddedChain, Genesis
from node.errors import Permanent
from node.founding import Keyring, found
from node.hub.replaying import FEE
from node.scenario import Scenario
from node.scenario.wishes import can_sell_from, member_of
from node.scenario.wishes import groups as group_names
from node.scenario.zones import price_zones, zone_of_participants
from node.store import (  # noqa: F401  (tables register themselves)
    layout,
    location,
    tables_chain,
    tables_control,
    tables_devices,
    tables_frequency,
    tables_islands,
    tables_market,
    tables_racks,
    tables_timeslots,
    tables_voltage,
)
from node.store.schema import metadata
from node.store.tables_devices import devices, nodes
from node.store.tables_market import accounts, groups, meta, participants, zones
from node.store.unit_of_work import Store
from node.world import plant as plants
from node.world.plant import Plant, describe

FIRST_ACCOUNT = 2  # after GRID and FEES


class WrongCommunity(Permanent):
    """The data folder belongs to another scenario or seed, or to other contracts."""


class State(NamedTuple):
    """What a community remembers: its database and, unless switched off, its chain with the address book."""

    store: Store
    chain: EmbeddedChain | None
    deployment: Deployment | None

    def close(self) -> None:
        """Give files and locks back."""
        if self.chain is not None:
            self.chain.close()
        self.store.close()


def open_or_found(
    scenario: Scenario,
    plant: Plant,
    keys: Keyring,
    founded_s: int,
    data: Path | None,
    store_url: str | None = None,
) -> State:
    """Open the state in a data folder, founding the community there first; None keeps everything in memory.

    `store_url` names an empty PostgreSQL database to found in; the folder remembers it from then on.

    Raises
    ------
    WrongCommunity
        If the folder belongs to another scenario, seed or version of the contracts.
    StoreTooNew
        If a newer version of the program wrote the store.
    StoreUnwritable, ChainLocked, WrongChain
        As store and chain say.
    """
    if data is None:
        return _found(scenario, plant, keys, founded_s, None)
    folder = data / "state"
    if not folder.exists():
        _found_in(scenario, plant, keys, founded_s, data, store_url)
    elif store_url not in (None, location.url_in(folder)):
        raise WrongCommunity(f"the data folder's database is {location.url_in(folder)}, not {store_url}")
    # A study may lose its last intervals with the machine's power, not with its process: it need not wait for the disk.
    store = Store(location.url_in(folder), synchronous="FULL" if scenario.study.chain else "NORMAL")
    chain = None
    try:
        _check_belongs(store, scenario)
        if not scenario.study.chain:
            layout.bring_up_to_date(store)
            return State(store, None, None)
        deployment = load_address_book(folder / "contracts.json")
        chain = EmbeddedChain(folder / "chain.sqlite")
        _check_contracts(
            chain, deployment
        )  # first: a store that this version cannot go on with is left as it is
        layout.bring_up_to_date(store)
        return State(store, chain, deployment)
    except BaseException:
        State(store, chain, None).close()
        raise


def fingerprint(scenario: Scenario) -> str:
    """Return what a data folder belongs to: the scenario without its length."""
    content = scenario.model_dump(mode="json", exclude={"days", "description"})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _found_in(
    scenario: Scenario, plant: Plant, keys: Keyring, at_s: int, data: Path, store_url: str | None
) -> None:
    """Found in a folder beside, then give it its name: half a community is never found."""
    partial = data / "founding.partial"
    if partial.exists():
        shutil.rmtree(partial)  # what an earlier attempt that was stopped left behind
    partial.mkdir(parents=True)
    if store_url is not None:
        location.remember(partial, location.checked(store_url))
        with closing(Store(store_url)) as store:
            _empty(store, scenario)
    state = _found(scenario, plant, keys, at_s, partial)
    state.close()
    if state.deployment is not None:
        save_address_book(partial / "contracts.json", state.deployment)
    partial.rename(data / "state")


def _empty(store: Store, scenario: Scenario) -> None:
    """Make sure that nobody lives in a database: what a founding that was stopped left behind may go.

    Raises
    ------
    WrongCommunity
        If a community lives there.
    """
    store.create_tables()
    with store.begin() as connection:
        facts = dict(connection.execute(select(meta.c.key, meta.c.value)).all())
        if not facts:
            return
        # The chain's first block reaches a store only once its folder has its name.
        is_lived_in = connection.execute(select(tables_chain.blocks.c.number).limit(1)).scalar() is not None
        if is_lived_in or facts.get("scenario") != fingerprint(scenario):
            raise WrongCommunity(
                f"the database {store.url} belongs to scenario {facts.get('name')!r} with seed "
                f"{facts.get('seed')} already: choose an empty one"
            )
        metadata.drop_all(connection)


def _found(scenario: Scenario, plant: Plant, keys: Keyring, at_s: int, folder: Path | None) -> State:
    store = Store("sqlite://" if folder is None else location.url_in(folder))
    store.create_tables()
    chain, deployment = None, None
    if scenario.study.chain:
        genesis = Genesis(scenario.chain.chain_id, at_s, note=scenario.name[:32])
        chain = EmbeddedChain(None if folder is None else folder / "chain.sqlite", genesis)
        deployment = found(chain, compile_contracts(cache_folder()), scenario, keys, at_s + 1)
    _record(store, scenario, plant, keys)
    return State(store, chain, deployment)


def _record(store: Store, scenario: Scenario, plant: Plant, keys: Keyring) -> None:
    """Write down who takes part, with what, where."""
    fleet, topology = plant.fleet, plant.topology
    group_of = member_of(scenario)
    zone_of, zones_of_market = zone_of_participants(scenario), price_zones(scenario)
    with store.begin() as connection:
        facts = {"scenario": fingerprint(scenario), "name": scenario.name, "seed": str(scenario.seed)}
        facts[FEE] = str(scenario.market.fee_micro_per_kwh)
        connection.execute(insert(meta), [{"key": k, "value": v} for k, v in facts.items()])
        layout.number(connection)
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
                    "member_of": group_of[row],
                    "sources": sum(1 << source for source in can_sell_from(p)),
                }
                for row, p in enumerate(scenario.participants)
            ],
        )
        if names := group_names(scenario):
            connection.execute(
                insert(groups), [{"number": row + 1, "name": name} for row, name in enumerate(names)]
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


def _check_contracts(chain: EmbeddedChain, deployment: Deployment) -> None:
    """Make sure that the contracts on chain are those of this version.

    Raises
    ------
    WrongCommunity
        If not: contracts are never changed, a new version of them is a new community to which members move.
    """
    try:
        verify(chain, compile_contracts(cache_folder()), deployment)
    except ContractError as error:
        raise WrongCommunity(
            f"{error}: the data folder belongs to another version of the program; go on with that one, or found "
            "anew in another --data folder"
        ) from error


def _check_belongs(store: Store, scenario: Scenario) -> None:
    with store.read() as connection:
        found = {row.key: row.value for row in connection.execute(select(meta))}
    if found.get("scenario") != fingerprint(scenario):
        raise WrongCommunity(
            f"the data folder belongs to scenario {found.get('name')!r} with seed {found.get('seed')}, "
            f"not to this {scenario.name!r} with seed {scenario.seed}: choose another --data folder"
        )
