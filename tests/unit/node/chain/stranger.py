"""Somebody who is nobody here, and carries in what others have signed: by a key, or through a contract."""

from collections.abc import Sequence

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
    """Put a contract on chain that calls `to` with whatever it is called with, and reverts if that does."""
    contract = carry(node, None, courier_code(to)).contract
    assert contract is not None
    return contract


def courier_code(to: Address) -> bytes:
    """Return what creates a courier.

    Notes
    -----
    calldatacopy(0, 0, calldatasize); call(gas, to, 0, 0, calldatasize, 0, 0) or revert(0, 0); stop.
    """
    runtime = (
        bytes.fromhex("365f5f375f5f365f5f73") + to + bytes.fromhex("5af1602657") + bytes.fromhex("5f5ffd5b00")
    )
    assert runtime[0x26] == 0x5B  # where the jump goes
    return _creating(runtime)


def _creating(runtime: bytes) -> bytes:
    """Return code that puts a runtime of less than 256 bytes on chain."""
    return bytes([0x60, len(runtime), 0x80, 0x60, 10, 0x5F, 0x39, 0x5F, 0xF3, 0x00]) + runtime


def together(node: Node, to: Address) -> Address:
    """Put a contract on chain that makes several calls of `to` in one transaction, as `packed` lists them.

    Notes
    -----
    i = 0; while i < calldatasize: n = calldataload(i), calldatacopy(0, i + 32, n), call(gas, to, 0, 0, n, 0, 0)
    or revert(0, 0), i += n + 32.
    """
    head = bytes.fromhex("5f5b368110 15603d57 80358082602001 5f37 5f5f825f5f73")
    tail = bytes.fromhex("5af1 15603957 01602001 600156 5b5f5ffd 5b00")
    runtime = head + to + tail
    assert runtime[0x01] == runtime[0x39] == runtime[0x3D] == 0x5B  # where the jumps go
    contract = carry(node, None, _creating(runtime)).contract
    assert contract is not None
    return contract


def packed(calls: Sequence[bytes]) -> bytes:
    """Return calls as `together` takes them."""
    return b"".join(len(data).to_bytes(32, "big") + data for data in calls)
