"""What `scripts/deploy` does: compile, deploy, compare the code on chain, write the address book. Again: nothing.

Before the first transaction a plan is written beside the address book: who deploys with which nonces and
parameters. From those follow the contracts' addresses, so a deployment that was stopped anywhere goes on where
it was, and nothing is deployed twice.
"""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import rlp
from eth_hash.auto import keccak

from node.chain import contracts as deployed
from node.chain.contracts import Deployment, Parameters, Roles
from node.chain.direct import DirectCall, transact
from node.chain.keys import LocalSigner, checksum, load_keystore
from node.chain.ports import Address, Chain
from node.chain.rpc import RpcChain
from node.errors import Permanent


class DeploymentRefused(Permanent):
    """A deployment that must not go on; nothing was sent after this was found."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for; `keystores` holds one file a role, named after it."""

    rpc: str
    chain_id: int
    keystores: Path
    book: Path
    cache: Path
    parameters: Parameters
    deployer: str = "issuer"


def run(options: Options, password: str, say: Callable[[str], None]) -> Deployment:
    """Deploy a community's contracts, or verify those that the address book names.

    Raises
    ------
    WrongChain
        If the node serves another chain than the one named.
    DeploymentRefused
        If the address book is of other keys or parameters, or the deployer's key was used meanwhile.
    ContractError
        If the code on chain is not what these sources compile to.
    KeystoreError, ChainUnavailable, CallReverted, TransactionRejected
        As keystores and chain say.
    """
    with closing(RpcChain(options.rpc, options.chain_id)) as chain:
        deployer = load_keystore(options.keystores / f"{options.deployer}.json", password)
        return deploy(chain, options, deployer, None, say)


def deploy(
    chain: Chain,
    options: Options,
    deployer: LocalSigner,
    mine: Callable[[], None] | None,
    say: Callable[[str], None],
) -> Deployment:
    """Do `run` on an open chain with an open key; `mine` makes blocks where we make them."""
    contracts = deployed.compile_contracts(options.cache)
    roles = roles_of(options.keystores)
    if options.book.exists():
        known = deployed.load_address_book(options.book)
        if (known.chain_id, known.roles, known.parameters) != (chain.chain_id, roles, options.parameters):
            raise DeploymentRefused(
                f"{options.book} is of {_differing(known, chain.chain_id, roles, options.parameters)}: "
                "name another --book for another community"
            )
        deployed.verify(chain, contracts, known)
        say(f"nothing to do: {options.book} is deployed, its code and parameters are on chain")
        return known
    plan = _Plan.begin(chain, options, deployer.address, roles)
    deployment = deployed.deploy(
        _Creator(chain, deployer, plan.first_nonce, mine, say),
        chain.chain_id,
        contracts,
        roles,
        options.parameters,
    )
    deployed.verify(chain, contracts, deployment)
    deployed.save_address_book(options.book, deployment)
    plan.path.unlink()
    say(f"deployed on chain {chain.chain_id}, code verified; address book: {options.book}")
    return deployment


def roles_of(keystores: Path) -> Roles:
    """Return the roles' addresses as their keystores tell them; no password is needed for that.

    Raises
    ------
    DeploymentRefused
        If a role's file is missing or no keystore, or two roles share a key.
    """
    found: dict[str, Address] = {}
    for field in fields(Roles):
        path = keystores / f"{field.name}.json"
        try:
            text = json.loads(path.read_text())["address"]
            found[field.name] = bytes.fromhex(text.removeprefix("0x"))
        except OSError as error:
            raise DeploymentRefused(
                f"keystore {path}: {error.strerror}; make it with: symgrid keys new"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DeploymentRefused(f"keystore {path}: no V3 keystore with an address") from error
    try:
        return Roles(**found)
    except ValueError as error:
        raise DeploymentRefused(f"{keystores}: {error}") from error


def created_address(sender: Address, nonce: int) -> Address:
    """Return where a creation by this sender and nonce puts its contract.

    References
    ----------
    Ethereum Yellow Paper, section 7: keccak256 of the RLP of both, its last 20 bytes.
    """
    return keccak(rlp.encode([sender, nonce]))[12:]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was decided before the first transaction."""

    path: Path
    first_nonce: int

    @classmethod
    def begin(cls, chain: Chain, options: Options, deployer: Address, roles: Roles) -> "_Plan":
        """Read the plan of a deployment that was stopped, or write one."""
        path = options.book.with_name(options.book.name + ".plan")
        wanted = {
            "chain_id": chain.chain_id,
            "deployer": checksum(deployer),
            "roles": {name: checksum(address) for name, address in asdict(roles).items()},
            "parameters": asdict(options.parameters),
            "sources": deployed.source_hash(),
        }
        if path.exists():
            stored = _read_plan(path)
            nonce = stored.pop("first_nonce", None)
            if stored != wanted or type(nonce) is not int:
                raise DeploymentRefused(
                    f"{path} is of a deployment with other keys, parameters or sources that was not finished: "
                    "finish it as it was, or remove the file to begin anew"
                )
            return cls(path, nonce)
        nonce = chain.nonce(deployer, is_pending=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps({**wanted, "first_nonce": nonce}, indent=2) + "\n")
        partial.replace(path)
        return cls(path, nonce)


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text())
    except ValueError as error:
        raise DeploymentRefused(f"{path} is damaged: remove it to begin anew") from error
    return stored if isinstance(stored, dict) else {}


class _Creator:
    """Creates one contract after the other, each with its planned nonce, unless it is there already."""

    def __init__(
        self,
        chain: Chain,
        deployer: LocalSigner,
        first_nonce: int,
        mine: Callable[[], None] | None,
        say: Callable[[str], None],
    ) -> None:
        self._chain = chain
        self._deployer = deployer
        self._nonce = first_nonce
        self._mine = mine
        self._say = say

    def __call__(self, data: bytes) -> Address:
        nonce, self._nonce = self._nonce, self._nonce + 1
        address = created_address(self._deployer.address, nonce)
        if self._chain.code(address):
            self._say(f"contract {checksum(address)}: there already")
            return address
        sent = self._chain.nonce(self._deployer.address, is_pending=True)
        if sent != nonce:
            raise DeploymentRefused(
                f"{checksum(self._deployer.address)} has sent {sent} transactions, {nonce} were planned before "
                "this contract: its key was used meanwhile, or one still waits; try again, or remove the plan"
            )
        receipt = transact(self._chain, DirectCall(self._deployer, None, data), self._mine)
        if receipt.contract != address:
            raise DeploymentRefused(f"the chain put a contract elsewhere than at {checksum(address)}")
        self._say(f"contract {checksum(address)}: created in block {receipt.block_number}")
        return address


def _differing(known: Deployment, chain_id: int, roles: Roles, parameters: Parameters) -> str:
    if known.chain_id != chain_id:
        return f"chain {known.chain_id}, not {chain_id}"
    for kind, ours, theirs in (("role", roles, known.roles), ("parameter", parameters, known.parameters)):
        for field in fields(ours):
            here, there = getattr(ours, field.name), getattr(theirs, field.name)
            if here != there:
                shown = [checksum(x) if isinstance(x, bytes) else x for x in (there, here)]
                return f"{kind} {field.name} {shown[0]}, not {shown[1]}"
    return "another community"
