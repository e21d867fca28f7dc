"""The project's contracts: compile once, deploy with checked parameters, call, verify, remember where.

Compiling takes seconds and its result depends on nothing but the sources and the compiler, so it is kept in a
folder under a hash of both.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from market.units import MAX_PRICE_MICRO_PER_KWH
from node.chain.abi import Contract, ContractError, Event
from node.chain.ports import Address, Chain, Log
from node.chain.typed_data import Domain

SOURCES: Final = Path(__file__).resolve().parents[2] / "contracts"
COMPILER: Final = "0.4.3"
NAMES: Final = ("CreditToken", "Settlement", "RevenueSplit")
MODULES: Final = ("ledger", "registry")
GRID: Final = 0
FEES: Final = 1

# Bounds of contracts/Settlement.vy and RevenueSplit.vy, seconds and intervals.
MIN_LENGTH_S: Final = 300
MAX_DELAY_S: Final = 366 * 86_400
MAX_UNREAD: Final = 480
MIN_RECORD_FOR_S: Final = 3_600
# A contract's code may not be longer: EIP-170.
MAX_RUNTIME: Final = 24_576


@dataclass(frozen=True)
class Contracts:
    """The three contracts, compiled."""

    token: Contract
    settlement: Contract
    split: Contract


def cache_folder() -> Path:
    """Return where compiled contracts are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "symbiotic-grid"


def source_hash(sources: Path = SOURCES) -> str:
    """Return a hash of the sources and the compiler's version.

    Raises
    ------
    ContractError
        If a source is missing.
    """
    found = hashlib.sha256(COMPILER.encode())
    for name in (*NAMES, *MODULES):
        path = sources / f"{name}.vy"
        try:
            found.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
        except OSError as error:
            raise ContractError(f"contract source {path}: {error.strerror}") from error
    return found.hexdigest()


def compile_contracts(cache: Path | None = None, sources: Path = SOURCES) -> Contracts:
    """Compile the contracts, or read them from the cache folder if they are there.

    Raises
    ------
    ContractError
        If a source is missing.
    """
    if cache is None:
        return _read(_compile(sources))
    path = cache / f"contracts-{source_hash(sources)[:32]}.json"
    if not path.exists():
        compiled = json.dumps(_compile(sources), separators=(",", ":"))
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(compiled)
        partial.replace(path)
    return _read(json.loads(path.read_text()))


def _compile(sources: Path) -> dict[str, dict[str, Any]]:
    # imported here because the compiler takes longer to load than a cached contract to read
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FilesystemInputBundle

    source_hash(sources)
    bundle = FilesystemInputBundle([sources])
    compiled = {}
    for name in NAMES:
        output = compile_from_file_input(
            bundle.load_file(f"{name}.vy"),
            input_bundle=bundle,
            output_formats=["abi", "bytecode", "bytecode_runtime"],
        )
        compiled[name] = output
    return compiled


def _read(compiled: Mapping[str, Mapping[str, Any]]) -> Contracts:
    return Contracts(
        *(
            Contract(
                name,
                tuple(compiled[name]["abi"]),
                bytes.fromhex(compiled[name]["bytecode"].removeprefix("0x")),
                bytes.fromhex(compiled[name]["bytecode_runtime"].removeprefix("0x")),
            )
            for name in NAMES
        )
    )


@dataclass(frozen=True, slots=True)
class Roles:
    """Who holds what from the start.

    `grid` and `fees` own accounts 0 and 1; `issuer` mints the token; the other four sign (registry.vy).

    Raises
    ------
    ValueError
        If an address has not 20 bytes or is zero, or if two of the roles share a key.
    """

    operator: Address
    oracle: Address
    registrar: Address
    curtailer: Address
    grid: Address
    fees: Address
    issuer: Address

    def __post_init__(self) -> None:
        for field in fields(self):
            address = getattr(self, field.name)
            if not isinstance(address, bytes) or len(address) != 20 or not any(address):
                raise ValueError(f"role {field.name}: {address!r} is no address of 20 bytes")
        if len(set(self.signers)) < len(self.signers):
            raise ValueError("operator, oracle, registrar and curtailer need four different keys")

    @property
    def signers(self) -> tuple[Address, Address, Address, Address]:
        """The holders of the contract's roles, in its order."""
        return self.operator, self.oracle, self.registrar, self.curtailer


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a deployment fixes for ever; the defaults suit quarter hours and a day-ahead auction.

    Raises
    ------
    ValueError
        If a bound of the contracts is broken, saying which one and what is needed.
    """

    length_s: int = 900
    notice_intervals: int = 192
    fill_window_s: int = 21_600
    exit_delay_s: int = 3 * 86_400
    role_delay_s: int = 7 * 86_400
    fee_micro_per_kwh: int = 5_000
    price_cap_micro_per_kwh: int = 4_000_000
    record_for_s: int = 7_200

    def __post_init__(self) -> None:
        least_exit_s = (self.notice_intervals + 2) * self.length_s + 2 * self.fill_window_s
        for name, low, high in (
            ("length_s", MIN_LENGTH_S, MAX_DELAY_S),
            ("notice_intervals", 0, MAX_DELAY_S),
            ("fill_window_s", self.length_s, (MAX_UNREAD * self.length_s - 1) // 2),
            ("exit_delay_s", least_exit_s + 1, self.role_delay_s - 1),
            ("role_delay_s", self.exit_delay_s + 1, MAX_DELAY_S),
            ("fee_micro_per_kwh", 0, self.price_cap_micro_per_kwh),
            ("price_cap_micro_per_kwh", self.fee_micro_per_kwh, MAX_PRICE_MICRO_PER_KWH),
            ("record_for_s", MIN_RECORD_FOR_S, MAX_DELAY_S),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"deployment parameter {name} is {value}: need {low}..{high}")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the contracts of a community are, and with what they were deployed."""

    chain_id: int
    token: Address
    settlement: Address
    split: Address
    roles: Roles
    parameters: Parameters

    @property
    def domain(self) -> Domain:
        """The domain of everything that is signed for this community."""
        return Domain(self.chain_id, self.settlement)


def deploy(
    create: Callable[[bytes], Address],
    chain_id: int,
    contracts: Contracts,
    roles: Roles,
    parameters: Parameters,
) -> Deployment:
    """Deploy token, settlement and split.

    Parameters
    ----------
    create : Callable[[bytes], Address]
        Sends creation data as a transaction, waits until it is final, returns the new contract's address.
    """
    p = parameters
    token = create(contracts.token.creation(roles.issuer))
    settlement = create(
        contracts.settlement.creation(
            token,
            roles.grid,
            roles.fees,
            roles.signers,
            p.length_s,
            p.notice_intervals,
            p.fill_window_s,
            p.exit_delay_s,
            p.role_delay_s,
            p.fee_micro_per_kwh,
            p.price_cap_micro_per_kwh,
        )
    )
    split = create(contracts.split.creation(settlement, p.record_for_s))
    return Deployment(chain_id, token, settlement, split, roles, parameters)


def verify(chain: Chain, contracts: Contracts, deployment: Deployment) -> None:
    """Compare code and fixed parameters on chain with what was compiled and what the address book says.

    Vyper appends immutables to the runtime code, so the code must begin with the compiled one, and its own
    getters then tell the immutables.

    Raises
    ------
    ContractError
        With the contract and what differs.
    """
    d, p, roles = deployment, deployment.parameters, deployment.roles
    if chain.chain_id != d.chain_id:
        raise ContractError(f"the address book is of chain {d.chain_id}, this is chain {chain.chain_id}")
    expected: list[tuple[Contract, Address, list[tuple[str, tuple[int, ...], Any]]]] = [
        (contracts.token, d.token, [("ISSUER", (), roles.issuer)]),
        (
            contracts.settlement,
            d.settlement,
            [
                ("TOKEN", (), d.token),
                ("LENGTH", (), p.length_s),
                ("NOTICE", (), p.notice_intervals),
                ("FILL_WINDOW", (), p.fill_window_s),
                ("EXIT_DELAY", (), p.exit_delay_s),
                ("ROLE_DELAY", (), p.role_delay_s),
                ("FEE", (), p.fee_micro_per_kwh),
                ("PRICE_CAP", (), p.price_cap_micro_per_kwh),
                ("DOMAIN", (), d.domain.separator),
                ("owner_of", (GRID,), roles.grid),
                ("owner_of", (FEES,), roles.fees),
            ],
        ),
        (
            contracts.split,
            d.split,
            [("SETTLEMENT", (), d.settlement), ("TOKEN", (), d.token), ("RECORD_FOR", (), p.record_for_s)],
        ),
    ]
    for contract, address, getters in expected:
        code = chain.code(address)
        if not code.startswith(contract.runtime):
            what = "has no code" if not code else "has other code than the sources compile to"
            raise ContractError(f"{contract.name} at 0x{address.hex()} {what}")
        for getter, arguments, value in getters:
            found = contract.result(getter, chain.call(address, contract.encode(getter, *arguments)))
            if found != value:
                raise ContractError(
                    f"{contract.name} at 0x{address.hex()}: {getter} is {found!r}, not {value!r}"
                )


def events_of(contracts: Contracts, deployment: Deployment, log: Log) -> Event | None:
    """Decode a log of the deployment's contracts; None if it is of none of them."""
    by_address = {
        deployment.settlement: contracts.settlement,
        deployment.token: contracts.token,
        deployment.split: contracts.split,
    }
    contract = by_address.get(log.address)
    return None if contract is None else contract.event(log.topics, log.data)


def save_address_book(path: Path, deployment: Deployment) -> None:
    """Write a deployment as JSON; addresses in hex."""
    text = json.dumps(asdict(deployment), indent=2, default=lambda address: f"0x{address.hex()}")
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text + "\n")
    partial.replace(path)


def load_address_book(path: Path) -> Deployment:
    """Read what `save_address_book` wrote.

    Raises
    ------
    ContractError
        If the file is missing or is no address book.
    """
    try:
        book = json.loads(path.read_text())
        return Deployment(
            book["chain_id"],
            _address(book["token"]),
            _address(book["settlement"]),
            _address(book["split"]),
            Roles(**{name: _address(text) for name, text in book["roles"].items()}),
            Parameters(**book["parameters"]),
        )
    except OSError as error:
        raise ContractError(f"address book {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ContractError(f"address book {path} is damaged: {error!r}") from error


def _address(text: str) -> Address:
    return bytes.fromhex(text.removeprefix("0x"))
