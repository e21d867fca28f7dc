"""A chain behind JSON-RPC is the same chain: the port over HTTP, and web3 on the embedded chain."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3
from web3.exceptions import ContractLogicError

from node.chain.embedded_rpc import EmbeddedProvider, JsonRpc, RpcServer
from node.chain.ports import CallReverted, ChainUnavailable, RejectionReason, TransactionRejected, WrongChain
from node.chain.rpc import Finality, RpcChain
from tests.unit.node.chain.live import CHAIN_ID, Node, contracts


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node.start(tmp_path)
    yield started
    started.close()


@pytest.fixture
def url(node: Node) -> Iterator[str]:
    server = RpcServer(node.chain)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def remote(url: str) -> Iterator[RpcChain]:
    chain = RpcChain(url, CHAIN_ID)
    yield chain
    chain.close()


def test_every_answer_over_http_is_the_answer_in_process(node: Node, remote: RpcChain) -> None:
    node.settle(0, node.community.first)
    here, where = node.chain, node.community.deployment
    operator = node.community.keys["operator"].address
    head = here.head().number
    assert remote.chain_id == here.chain_id
    assert remote.head() == here.head()
    assert remote.finalized() == here.finalized()
    assert remote.fees() == here.fees()
    assert [remote.block(n) for n in range(head + 2)] == [here.block(n) for n in range(head + 2)]
    assert remote.logs(0, head) == here.logs(0, head)
    only = (where.settlement,)
    assert remote.logs(0, head, only) == here.logs(0, head, only)
    newest = here.block(head)
    assert newest is not None
    assert remote.calls(newest, only) == here.calls(newest, only) != []
    assert (
        remote.block_logs(newest, only) == here.block_logs(newest, only) == here.logs(head, head, only) != []
    )
    gone = replace(newest, hash=b"\x07" * 32)
    for chain in (remote, here):
        for ask in (chain.calls, chain.block_logs):
            with pytest.raises(ChainUnavailable):
                ask(gone, only)
    assert remote.code(where.token) == here.code(where.token)
    assert remote.nonce(operator) == here.nonce(operator) == 2
    assert remote.balance(operator) == here.balance(operator)
    assert remote.storage(where.settlement, 3) == here.storage(where.settlement, 3)
    count = contracts().settlement.encode("count")
    for block in (None, head, 1):
        assert remote.call(where.settlement, count, block=block) == here.call(
            where.settlement, count, block=block
        )
    block = here.block(head)
    assert block is not None
    for name in (*block.transactions, bytes(32)):
        assert remote.transaction(name) == here.transaction(name)
        assert remote.receipt(name) == here.receipt(name)


def test_the_whole_pipeline_runs_over_http(node: Node, remote: RpcChain, tmp_path: Path) -> None:
    far = node.restart(tmp_path, remote)
    far.watcher.ingest()
    for i in range(2):
        interval = node.community.first + i
        far.plan(node.community.whole_interval(i, interval))
        far.sender.drive()
        node.mine(interval)
        assert far.sender.drive().open == 0
        far.watcher.ingest()
    assert far.differences() == []
    far.recover()
    far.store.close()


def test_reverts_and_refusals_keep_their_reasons(node: Node, remote: RpcChain) -> None:
    where, stranger = node.community.deployment.settlement, node.community.members[0].owner
    data = contracts().settlement.encode("request_exit", 3, 1)
    with pytest.raises(CallReverted, match="ledger: owner"):
        remote.call(where, data, sender=stranger.address)
    with pytest.raises(CallReverted, match="ledger: owner"):
        remote.estimate_gas(stranger.address, where, data)
    with pytest.raises(TransactionRejected) as refused:
        remote.send_raw(b"\x02\x01")
    assert refused.value.reason == RejectionReason.MALFORMED
    node.plan([node.community.whole_interval(9, node.community.first)[1]])
    node.sender.drive()
    node.mine(node.community.first)
    block = node.chain.block(node.chain.head().number)
    assert remote.revert_reason(block.transactions[0]) == "settlement: sequence"


def test_another_chain_behind_the_url_is_refused(url: str) -> None:
    with pytest.raises(WrongChain, match="serves chain 1848, expected 1"):
        RpcChain(url, 1)


def test_depth_and_tag_delay_finality(node: Node, url: str) -> None:
    for _ in range(5):
        node.chain.produce_block(node.chain.head().timestamp_s + 1)
    head = node.chain.head().number
    deep, tagged = (
        RpcChain(url, CHAIN_ID, finality=Finality.DEPTH, depth=3),
        RpcChain(url, CHAIN_ID, finality=Finality.TAG),
    )
    assert (deep.finalized(), tagged.finalized()) == (head - 3, head)
    deep.close()
    tagged.close()


def test_a_node_that_is_not_there_is_unavailable_not_wrong() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    with pytest.raises(ChainUnavailable, match="does not answer"):
        RpcChain(f"http://127.0.0.1:{port}/secret-key", CHAIN_ID)


@pytest.mark.parametrize(
    ("status", "body"), [(500, b"{}"), (200, b"<html>"), (200, b"[]"), (200, b'{"id":1}')]
)
def test_an_answer_that_is_no_json_rpc_is_unavailable(status: int, body: bytes) -> None:
    class Nonsense(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Nonsense)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(ChainUnavailable):
            RpcChain(f"http://127.0.0.1:{server.server_address[1]}", CHAIN_ID)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8545", "http://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected http or https"):
        RpcChain(url, CHAIN_ID)


def test_web3_works_on_the_embedded_chain_without_a_network(node: Node) -> None:
    node.settle(0, node.community.first)
    web3 = Web3(EmbeddedProvider(node.chain))
    assert web3.is_connected()
    assert web3.eth.chain_id == CHAIN_ID
    head = web3.eth.get_block("latest", full_transactions=True)
    assert head["number"] == node.chain.head().number
    where = Web3.to_checksum_address(node.community.deployment.settlement)
    settlement = web3.eth.contract(address=where, abi=contracts().settlement.abi)
    assert settlement.functions.count().call() == 2 + len(node.community.members)
    settled = settlement.events.ChunkSettled().get_logs(from_block=0)
    assert [event["args"]["seq"] for event in settled] == [0]
    with pytest.raises(ContractLogicError, match="ledger: owner"):
        settlement.functions.request_exit(3, 1).call()
    owner = node.community.members[0].owner
    account = web3.eth.account.from_key(owner._key.secret)
    sent = settlement.functions.request_exit(2, 10).build_transaction(
        {
            "from": account.address,
            "nonce": web3.eth.get_transaction_count(account.address),
            "maxFeePerGas": 0,
            "maxPriorityFeePerGas": 0,
        }
    )
    name = web3.eth.send_raw_transaction(account.sign_transaction(sent).raw_transaction)
    node.chain.produce_block(node.chain.head().timestamp_s + 1)
    assert web3.eth.wait_for_transaction_receipt(name)["status"] == 1
    assert settlement.functions.exits(2).call()[0] == 10


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"3", -32600),
        (b'{"id":1,"method":"eth_mining"}', -32601),
        (b'{"id":1,"method":"eth_getCode","params":["5"]}', -32602),
        (b'{"id":1,"method":"eth_getCode","params":[]}', -32602),
        (b'{"id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x0","toBlock":"0xffffff"}]}', -32602),
    ],
)
def test_bad_requests_are_told_apart(node: Node, body: bytes, code: int) -> None:
    assert f'"code": {code}'.encode() in JsonRpc(node.chain).respond(body)


def test_a_batch_is_answered_in_order(node: Node) -> None:
    batch = b'[{"id":1,"method":"eth_chainId"},{"id":2,"method":"net_version"}]'
    answers = JsonRpc(node.chain).respond(batch)
    assert answers.index(b"0x738") < answers.index(b'"1848"')
