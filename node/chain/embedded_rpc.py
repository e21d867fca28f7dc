"""The embedded chain for everybody's tools: Ethereum's JSON-RPC on it, as a web3 provider or over HTTP.

Wallets and auditors need no code of ours to read balances, send an exit or check an interval.
"""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from web3.providers import BaseProvider
from web3.types import RPCEndpoint, RPCResponse

from node.chain.embedded import EmbeddedChain
from node.chain.ports import CallReverted, ChainError, ChainUnavailable, Log, TransactionRejected

# JSON-RPC 2.0, section 5.1, and EIP-1474.
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMETERS = -32700, -32600, -32601, -32602
SERVER_ERROR, REVERTED = -32000, 3
# A chunk of 128 fills and readings is 60 kB, 120 kB in hex.
MAX_REQUEST = 2**20
MAX_LOG_BLOCKS = 100_000
STOP_POLL_S = 0.05

_NAMED = frozenset({"latest", "pending", "safe", "finalized"})


class JsonRpc:
    """Answers JSON-RPC requests about one embedded chain."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self._chain = chain
        self._methods: Mapping[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "symbiotic-grid/embedded",
            "net_version": lambda: str(chain.chain_id),
            "eth_chainId": lambda: hex(chain.chain_id),
            "eth_syncing": lambda: False,
            "eth_accounts": list,
            "eth_blockNumber": lambda: hex(chain.head().number),
            "eth_gasPrice": lambda: "0x0",
            "eth_maxPriorityFeePerGas": lambda: "0x0",
            "eth_feeHistory": self._fee_history,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getTransactionByHash": lambda name: self._transaction(_bytes(name)),
            "eth_getTransactionReceipt": self._receipt,
            "eth_getTransactionCount": self._count,
            "eth_getBalance": lambda address, _block="latest": hex(chain.balance(_bytes(address))),
            "eth_getCode": lambda address, _block="latest": _hex(chain.code(_bytes(address))),
            "eth_getStorageAt": self._storage,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_sendRawTransaction": lambda raw: _hex(chain.send_raw(_bytes(raw))),
            "eth_getLogs": self._logs,
        }

    def respond(self, body: bytes) -> bytes:
        """Answer one request, or a batch, as bytes."""
        try:
            request = json.loads(body)
        except ValueError:
            return json.dumps(_error(None, PARSE_ERROR, "the request is no JSON")).encode()
        if isinstance(request, list) and request:
            return json.dumps([self.answer(part) for part in request]).encode()
        return json.dumps(self.answer(request)).encode()

    def answer(self, request: Any) -> dict[str, Any]:
        """Answer one request."""
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _error(None, INVALID_REQUEST, "expected an object with a method")
        request_id, name, parameters = request.get("id"), request["method"], request.get("params") or []
        method = self._methods.get(name)
        if method is None:
            return _error(request_id, METHOD_NOT_FOUND, f"{name} is not offered here")
        try:
            return {"jsonrpc": "2.0", "id": request_id, "result": method(*parameters)}
        except CallReverted as error:
            return _error(request_id, REVERTED, f"execution reverted: {error.reason}", _hex(error.data))
        except TransactionRejected as error:
            words = error.reason.replace("-", " ")
            return _error(request_id, SERVER_ERROR, f"{words}: {error.detail}")
        except ChainError as error:
            return _error(request_id, SERVER_ERROR, str(error))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return _error(request_id, INVALID_PARAMETERS, f"{name}: {error}")

    # -------------------------------------------------------------- methods

    def _number(self, tag: str) -> int:
        if tag in _NAMED:
            return self._chain.head().number
        return 0 if tag == "earliest" else int(tag, 16)

    def _block_by_number(self, tag: str, is_full: bool = False) -> dict[str, Any] | None:
        number = self._number(tag)
        block, header = self._chain.block(number), self._chain.header(number)
        if block is None or header is None:
            return None
        found = [self._transaction(name) for name in block.transactions] if is_full else block.transactions
        return {
            "number": hex(number),
            "hash": _hex(block.hash),
            "parentHash": _hex(block.parent),
            "timestamp": hex(block.timestamp_s),
            "stateRoot": _hex(header.state_root),
            "transactionsRoot": _hex(header.transaction_root),
            "receiptsRoot": _hex(header.receipt_root),
            "logsBloom": _hex(header.bloom.to_bytes(256, "big")),
            "gasLimit": hex(header.gas_limit),
            "gasUsed": hex(header.gas_used),
            "baseFeePerGas": hex(header.base_fee_per_gas or 0),
            "extraData": _hex(header.extra_data),
            "miner": _hex(header.coinbase),
            "difficulty": "0x0",
            "nonce": _hex(header.nonce),
            "sha3Uncles": _hex(header.uncles_hash),
            "mixHash": _hex(header.mix_hash),
            "size": "0x0",
            "uncles": [],
            "transactions": found if is_full else [_hex(name) for name in block.transactions],
        }

    def _block_by_hash(self, name: str, is_full: bool = False) -> dict[str, Any] | None:
        try:
            return self._block_by_number(hex(self._chain.number_of(_bytes(name))), is_full)
        except ChainUnavailable:
            return None

    def _transaction(self, name: bytes) -> dict[str, Any] | None:
        found, receipt = self._chain.transaction(name), self._chain.receipt(name)
        if found is None:
            return None
        return {
            "hash": _hex(name),
            "type": "0x2",
            "chainId": hex(self._chain.chain_id),
            "from": _hex(found.sender),
            "to": None if found.to is None else _hex(found.to),
            "nonce": hex(found.nonce),
            "value": "0x0",
            "gas": hex(found.gas),
            "gasPrice": "0x0",
            "maxFeePerGas": "0x0",
            "maxPriorityFeePerGas": "0x0",
            "input": _hex(found.data),
            "blockNumber": None if receipt is None else hex(receipt.block_number),
            "blockHash": None if receipt is None else _hex(receipt.block_hash),
            "transactionIndex": None if receipt is None else hex(receipt.transaction_index),
        }

    def _receipt(self, name: str) -> dict[str, Any] | None:
        receipt, found = self._chain.receipt(_bytes(name)), self._chain.transaction(_bytes(name))
        if receipt is None or found is None:
            return None
        return {
            "transactionHash": name,
            "transactionIndex": hex(receipt.transaction_index),
            "blockNumber": hex(receipt.block_number),
            "blockHash": _hex(receipt.block_hash),
            "from": _hex(found.sender),
            "to": None if found.to is None else _hex(found.to),
            "contractAddress": None if receipt.contract is None else _hex(receipt.contract),
            "status": hex(receipt.is_success),
            "gasUsed": hex(receipt.gas_used),
            "effectiveGasPrice": "0x0",
            "type": "0x2",
            "logs": [_log(log) for log in receipt.logs],
        }

    def _count(self, address: str, tag: str = "latest") -> str:
        return hex(self._chain.nonce(_bytes(address), is_pending=tag == "pending"))

    def _storage(self, address: str, slot: str, _tag: str = "latest") -> str:
        return f"{self._chain.storage(_bytes(address), int(slot, 16)):#066x}"

    def _call(self, message: dict[str, str], tag: str = "latest") -> str:
        sender = _bytes(message["from"]) if "from" in message else None
        block = None if tag in _NAMED else self._number(tag)
        return _hex(self._chain.call(_bytes(message["to"]), _data(message), sender=sender, block=block))

    def _estimate(self, message: dict[str, str], _tag: str = "latest") -> str:
        sender = _bytes(message.get("from", "0x" + "00" * 20))
        to = _bytes(message["to"]) if message.get("to") else None
        return hex(self._chain.estimate_gas(sender, to, _data(message)))

    def _logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in query:  # EIP-234
            first = last = self._chain.number_of(_bytes(query["blockHash"]))
        else:
            first = self._number(query.get("fromBlock", "latest"))
            last = self._number(query.get("toBlock", "latest"))
        if last - first > MAX_LOG_BLOCKS:
            raise ValueError(f"{last - first} blocks at once: ask for up to {MAX_LOG_BLOCKS}")
        address = query.get("address") or []
        addresses = tuple(_bytes(a) for a in ([address] if isinstance(address, str) else address))
        wanted = [[one] if isinstance(one, str) else one for one in query.get("topics") or []]
        found = self._chain.logs(first, last, addresses)
        return [_log(log) for log in found if _has_topics(log, wanted)]

    def _fee_history(self, count: int | str, _newest: str, percentiles: Sequence[float] = ()) -> Any:
        n = int(count, 16) if isinstance(count, str) else count
        head = self._chain.head().number
        n = min(n, head + 1, 1_024)
        return {
            "oldestBlock": hex(head + 1 - n),
            "baseFeePerGas": ["0x0"] * (n + 1),
            "gasUsedRatio": [0.0] * n,
            "reward": [["0x0"] * len(percentiles)] * n,
        }


class EmbeddedProvider(BaseProvider):
    """A web3 provider without a network: `Web3(EmbeddedProvider(chain))`."""

    def __init__(self, chain: EmbeddedChain) -> None:
        super().__init__()
        self._rpc = JsonRpc(chain)

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Answer web3."""
        answer: Any = self._rpc.answer({"id": 1, "method": method, "params": list(params)})
        return answer

    def is_connected(self, show_traceback: bool = False) -> bool:  # noqa: ARG002
        """Return True: it is in this process."""
        return True


class RpcServer:
    """JSON-RPC over HTTP on one address; by default only for this machine.

    Raises
    ------
    OSError
        If the port is in use.
    """

    def __init__(self, chain: EmbeddedChain, host: str = "127.0.0.1", port: int = 0) -> None:
        rpc = JsonRpc(chain)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 2**16  # one packet for head and body: two would wait for each other

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                if not length.isdigit() or int(length) > MAX_REQUEST:
                    self.send_error(413, f"expected up to {MAX_REQUEST} bytes with their length")
                    return
                body = rpc.respond(self.rfile.read(int(length)))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent: requests are not news."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL_S,), name="chain-rpc", daemon=True
        )

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _error(request_id: Any, code: int, message: str, data: str | None = None) -> dict[str, Any]:
    error = {"code": code, "message": message, **({} if data is None else {"data": data})}
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


def _has_topics(log: Log, wanted: list[list[str] | None]) -> bool:
    if len(wanted) > len(log.topics):
        return False
    return all(not one or _hex(topic) in one for topic, one in zip(log.topics, wanted, strict=False))


def _data(message: dict[str, str]) -> bytes:
    return _bytes(message.get("input") or message.get("data") or "0x")


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"


def _bytes(text: str) -> bytes:
    if not text.startswith("0x"):
        raise ValueError(f"expected 0x..., got {text[:20]!r}")
    return bytes.fromhex(text[2:])


def _log(log: Log) -> dict[str, Any]:
    return {
        "address": _hex(log.address),
        "topics": [_hex(topic) for topic in log.topics],
        "data": _hex(log.data),
        "blockNumber": hex(log.block_number),
        "blockHash": _hex(log.block_hash),
        "transactionHash": _hex(log.transaction_hash),
        "transactionIndex": hex(log.transaction_index),
        "logIndex": hex(log.index),
        "removed": False,
    }
