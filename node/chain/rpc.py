"""A chain behind a JSON-RPC URL: Besu, anvil, or another node's embedded chain.

References
----------
Ethereum execution APIs, https://ethereum.github.io/execution-apis/; JSON-RPC 2.0.
"""

import http.client
import json
import threading
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from node.chain.ports import (
    Address,
    Block,
    CallReverted,
    ChainUnavailable,
    Fees,
    Hash,
    Head,
    Log,
    MinedCall,
    Receipt,
    Transaction,
    TransactionRejected,
    WrongChain,
)
from node.chain.revert import revert_reason
from node.chain.rpc_errors import METHOD_ERRORS, is_unknown_block, refusal

TIMEOUT_S = 20.0


class Finality(StrEnum):
    """When a block can no longer be replaced."""

    IMMEDIATE = "immediate"  # QBFT, or an embedded chain: with the block itself
    TAG = "finalized"  # proof of stake: the node's own tag
    DEPTH = "depth"  # otherwise: so many blocks below the head


class RpcError(ChainUnavailable):
    """The node answered with an error of its own; `code` and `data` are JSON-RPC's."""

    def __init__(self, method: str, code: int, message: str, data: Any) -> None:
        super().__init__(f"{method}: {message} ({code})")
        self.code = code
        self.message = message
        self.data = data


class RpcChain:
    """A `Chain` over HTTP or HTTPS, one request at a time.

    Parameters
    ----------
    url : str
        Where the node listens; may hold a path with a key, which errors do not repeat.
    chain_id : int
        What the node must say it is.
    finality : Finality
        How blocks become final on this kind of chain.
    depth : int
        For `Finality.DEPTH`: how far below the head.

    Raises
    ------
    WrongChain
        If the node serves another chain.
    ChainUnavailable
        If it does not answer.
    """

    def __init__(
        self, url: str, chain_id: int, *, finality: Finality = Finality.IMMEDIATE, depth: int = 0
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"chain URL {parts.scheme}://...: expected http or https and a host")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._name = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._request_id = 0
        self._finality, self._depth = finality, depth
        self._chain_id = chain_id
        found = _number(self._ask("eth_chainId"))
        if found != chain_id:
            self.close()
            raise WrongChain(f"{self._name} serves chain {found}, expected {chain_id}")

    # -------------------------------------------------------------- blocks

    @property
    def chain_id(self) -> int:
        """Return the id that every signature for this chain carries."""
        return self._chain_id

    def head(self) -> Head:
        """Return the newest block."""
        block = self._ask("eth_getBlockByNumber", "latest", False)
        return Head(_number(block["number"]), _bytes(block["hash"]), _number(block["timestamp"]))

    def finalized(self) -> int:
        """Return the number of the newest block that can no longer be replaced."""
        if self._finality == Finality.TAG:
            block = self._ask("eth_getBlockByNumber", "finalized", False)
            return 0 if block is None else _number(block["number"])
        head = _number(self._ask("eth_blockNumber"))
        return head if self._finality == Finality.IMMEDIATE else max(0, head - self._depth)

    def block(self, number: int) -> Block | None:
        """Return the canonical block of a number, or None beyond the head."""
        found = self._ask("eth_getBlockByNumber", hex(number), False)
        if found is None:
            return None
        return Block(
            number,
            _bytes(found["hash"]),
            _bytes(found["parentHash"]),
            _number(found["timestamp"]),
            tuple(map(_bytes, found["transactions"])),
        )

    # -------------------------------------------------------------- state

    def nonce(self, address: Address, *, is_pending: bool = False) -> int:
        """Return how many transactions of this address are mined (or also wait)."""
        tag = "pending" if is_pending else "latest"
        return _number(self._ask("eth_getTransactionCount", _hex(address), tag))

    def balance(self, address: Address) -> int:
        """Return the address's native balance in wei."""
        return _number(self._ask("eth_getBalance", _hex(address), "latest"))

    def code(self, address: Address) -> bytes:
        """Return the runtime bytecode at an address."""
        return _bytes(self._ask("eth_getCode", _hex(address), "latest"))

    def storage(self, address: Address, slot: int) -> int:
        """Return one storage word."""
        return _number(self._ask("eth_getStorageAt", _hex(address), hex(slot), "latest"))

    def call(
        self, to: Address, data: bytes, *, sender: Address | None = None, block: int | None = None
    ) -> bytes:
        """Execute without a trace and return what the contract returned.

        Raises
        ------
        CallReverted
            With the contract's reason.
        """
        message = {"to": _hex(to), "data": _hex(data)}
        if sender is not None:
            message["from"] = _hex(sender)
        return _bytes(self._run("eth_call", message, "latest" if block is None else hex(block)))

    def estimate_gas(self, sender: Address, to: Address | None, data: bytes) -> int:
        """Return a gas limit with which the transaction would succeed now, a quarter above the node's.

        Raises
        ------
        CallReverted
            If it would not.
        """
        message = {"from": _hex(sender), "data": _hex(data)}
        if to is not None:
            message["to"] = _hex(to)
        return _number(self._run("eth_estimateGas", message)) * 5 // 4

    def fees(self) -> Fees:
        """Return what a transaction sent now has to offer: nothing where the chain asks for nothing."""
        block = self._ask("eth_getBlockByNumber", "latest", False)
        base = _number(block.get("baseFeePerGas") or "0x0")
        price = _number(self._ask("eth_gasPrice"))
        if base == 0 and price == 0:
            return Fees(0, 0)
        tip = max(price - base, 0)
        # Twice the base fee lasts through six full blocks (EIP-1559: an eighth more each).
        return Fees(2 * base + tip, tip)

    # -------------------------------------------------------------- transactions

    def send_raw(self, raw: bytes) -> Hash:
        """Hand a signed transaction over and return its hash; sending known bytes again is harmless.

        Raises
        ------
        TransactionRejected
            If the node refuses it; `.reason` is KNOWN for bytes it already has.
        """
        try:
            return _bytes(self._ask("eth_sendRawTransaction", _hex(raw)))
        except RpcError as error:
            raise TransactionRejected(refusal(error.message), error.message) from error

    def transaction(self, transaction_hash: Hash) -> Transaction | None:
        """Return a mined or waiting transaction, or None if the node does not know it."""
        found = self._ask("eth_getTransactionByHash", _hex(transaction_hash))
        if found is None:
            return None
        number = found.get("blockNumber")
        return Transaction(
            transaction_hash,
            _bytes(found["from"]),
            None if found["to"] is None else _bytes(found["to"]),
            _number(found["nonce"]),
            _bytes(found["input"]),
            _number(found["gas"]),
            None if number is None else _number(number),
        )

    def receipt(self, transaction_hash: Hash) -> Receipt | None:
        """Return what became of a transaction, or None while it is not mined."""
        found = self._ask("eth_getTransactionReceipt", _hex(transaction_hash))
        if found is None:
            return None
        contract = found.get("contractAddress")
        return Receipt(
            transaction_hash,
            _number(found["blockNumber"]),
            _bytes(found["blockHash"]),
            _number(found["transactionIndex"]),
            _number(found["status"]) == 1,
            _number(found["gasUsed"]),
            None if contract is None else _bytes(contract),
            tuple(map(_log, found["logs"])),
        )

    def revert_reason(self, transaction_hash: Hash) -> str:
        """Return why a transaction reverted, by executing it again on the state before its block.

        Empty if it does not revert there: what came before it in its block made the difference.
        """
        found = self._ask("eth_getTransactionByHash", _hex(transaction_hash))
        if found is None or found.get("blockNumber") is None:
            return ""
        message = {"from": found["from"], "to": found["to"], "data": found["input"], "gas": found["gas"]}
        try:
            self._run("eth_call", message, hex(_number(found["blockNumber"]) - 1))
        except CallReverted as error:
            return error.reason
        return ""

    def calls(self, block: Block, contracts: tuple[Address, ...]) -> list[MinedCall]:
        """Return a block's transactions to these contracts, in order.

        Raises
        ------
        ChainUnavailable
            If the node that answers does not have this very block.
        """
        full = self._ask("eth_getBlockByHash", _hex(block.hash), True)
        if full is None:
            raise ChainUnavailable(f"{self._name} does not have block 0x{block.hash.hex()}")
        found = []
        for row in full["transactions"]:
            if row["to"] is None or _bytes(row["to"]) not in contracts:
                continue
            transaction_hash = _bytes(row["hash"])
            receipt = self.receipt(transaction_hash)
            if receipt is None or receipt.block_hash != block.hash:
                raise ChainUnavailable(f"{self._name} has another block {block.number} than it had")
            found.append(
                MinedCall(
                    transaction_hash,
                    _number(row["transactionIndex"]),
                    _bytes(row["from"]),
                    _bytes(row["to"]),
                    _bytes(row["input"]),
                    receipt.is_success,
                )
            )
        return found

    def block_logs(self, block: Block, addresses: tuple[Address, ...]) -> list[Log]:
        """Return the events of a block by these contracts, in order.

        Raises
        ------
        ChainUnavailable
            If the node that answers does not have this very block (EIP-234).
        """
        query = {"blockHash": _hex(block.hash), "address": [_hex(address) for address in addresses]}
        return sorted(map(_log, self._ask("eth_getLogs", query)), key=lambda log: log.index)

    def logs(self, first: int, last: int, addresses: tuple[Address, ...] = ()) -> list[Log]:
        """Return the events of blocks `first..last` (both included), in order."""
        query: dict[str, Any] = {"fromBlock": hex(first), "toBlock": hex(last)}
        if addresses:
            query["address"] = [_hex(address) for address in addresses]
        found = [_log(row) for row in self._ask("eth_getLogs", query)]
        return sorted(found, key=lambda log: (log.block_number, log.index))

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._hang_up()

    # -------------------------------------------------------------- the wire

    def _run(self, method: str, *parameters: Any) -> Any:
        """Ask for an execution; its revert is no fault of the node."""
        try:
            return self._ask(method, *parameters)
        except RpcError as error:
            data = error.data.get("data") if isinstance(error.data, dict) else error.data
            raw = _bytes(data) if isinstance(data, str) and data.startswith("0x") else b""
            if error.code in METHOD_ERRORS or is_unknown_block(error.message):
                raise
            raise CallReverted(revert_reason(raw) or error.message, raw) from error

    def _ask(self, method: str, *parameters: Any) -> Any:
        with self._lock:
            self._request_id += 1
            request = {"jsonrpc": "2.0", "id": self._request_id, "method": method, "params": parameters}
            answer = self._post(json.dumps(request).encode())
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise ChainUnavailable(f"{self._name} answers {method} with something that is no JSON-RPC")
        error = answer.get("error")
        if error is not None:
            raise RpcError(method, int(error["code"]), str(error["message"]), error.get("data"))
        return answer["result"]

    def _post(self, body: bytes) -> Any:
        """Send a request; once more on a fresh connection if the kept one was closed meanwhile."""
        is_fresh = self._connection is None
        try:
            return self._exchange(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._hang_up()
            if is_fresh or not isinstance(error, http.client.RemoteDisconnected | ConnectionError):
                raise ChainUnavailable(f"{self._name} does not answer: {error}") from error
        try:
            return self._exchange(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._hang_up()
            raise ChainUnavailable(f"{self._name} does not answer: {error}") from error

    def _exchange(self, body: bytes) -> Any:
        if self._connection is None:
            self._connection = self._connect(self._host, self._port, timeout=TIMEOUT_S)
        self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        content = response.read()
        if response.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"HTTP {response.status}")
        return json.loads(content)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _number(text: str) -> int:
    return int(text, 16)


def _log(row: dict[str, Any]) -> Log:
    return Log(
        _bytes(row["address"]),
        tuple(map(_bytes, row["topics"])),
        _bytes(row["data"]),
        _number(row["blockNumber"]),
        _bytes(row["blockHash"]),
        _bytes(row["transactionHash"]),
        _number(row["transactionIndex"]),
        _number(row["logIndex"]),
    )
