"""Somebody who is nobody here, and carries in what others have signed: by a key, or through a contract."""

from node.chain.direct import DirectCall, transact
from node.chain.keys import derive
from node.chain.ports import Address, Receipt
from tests.unit.node.chain.live import Node

STRANGER = derive(99, "stranger")
GAS = 14_000_000


def carry(node: Node, to: Address | None, data: bytes) -> Receipt:
    """Send this calldata in a block of its own, at the end of what the head's time allows."""
    return transact(node.chain, DirectCall(STRANGER, to, data, GAS), node.community.mine)


def courier(node: Node, to: Address) -> Address:
    """Put a contract on chain that calls `to` with whatever it is called with, and reverts if that does.

    Notes
    -----
    calldatacopy(0, 0, calldatasize); call(gas, to, 0, 0, calldatasize, 0, 0) or revert(0, 0); stop.
    """
    runtime = (
        bytes.fromhex("365f5f375f5f365f5f73") + to + bytes.fromhex("5af1602657") + bytes.fromhex("5f5ffd5b00")
    )
    assert runtime[0x26] == 0x5B  # where the jump goes
    creation = bytes([0x60, len(runtime), 0x80, 0x60, 10, 0x5F, 0x39, 0x5F, 0xF3, 0x00]) + runtime
    contract = carry(node, None, creation).contract
    assert contract is not None
    return contract
