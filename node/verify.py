"""What `scripts/verify` does: recompute every published interval from its bundle and the chain, trusting neither.

Needs three public things and no secret: the folder of bundles, the address book, and the chain (a URL, or the
embedded chain's file).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.audit.bundle import file_name
from node.audit.intervals import Auditor
from node.audit.omission import Verdict, prove, read_receipt
from node.audit.opening import opened
from node.audit.record import ChainRecord
from node.chain import contracts as deployed
from node.chain.contracts import Contracts, Deployment
from node.chain.ports import Chain
from node.errors import Permanent

_NAME: Final = re.compile(r"(\d{8})\.jsonl")


class NothingToVerify(Permanent):
    """There is neither a bundle nor a settled interval."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for; `first` and `last` bound the intervals that are checked."""

    bundles: Path
    book: Path
    rpc: str | None
    chain: Path | None
    cache: Path
    first: int = 0
    last: int = 2**24 - 1


def run(options: Options, say: Callable[[str], None]) -> bool:
    """Verify, say one line per interval, and return whether all is right.

    Raises
    ------
    ContractError
        If the address book is damaged, or the contracts on chain are not those of these sources.
    WrongChain, ChainUnavailable, OSError
        If chain or bundles cannot be read.
    NothingToVerify
        If there is nothing in the span.
    """
    deployment = deployed.load_address_book(options.book)
    contracts = deployed.compile_contracts(options.cache)
    with opened(options.rpc, options.chain, deployment.chain_id) as chain:
        if options.chain is not None:
            say("note: an embedded chain is kept by its operator; compare its head with what others saw")
        return verify(chain, contracts, deployment, options, say)


def verify(
    chain: Chain,
    contracts: Contracts,
    deployment: Deployment,
    options: Options,
    say: Callable[[str], None],
) -> bool:
    """Do `run` on an open chain."""
    deployed.verify(chain, contracts, deployment)
    record = ChainRecord(chain, contracts, deployment)
    record.replay()
    files = bundle_files(options.bundles)
    known = [t for t in sorted(files | _on_chain(record)) if options.first <= t <= options.last]
    if not known:
        raise NothingToVerify(f"{options.bundles}: no bundle, and no settled interval on chain")
    intervals = range(known[0], known[-1] + 1)  # one that is neither here nor there is missing
    auditor = Auditor(record)
    is_right = True
    for interval in intervals:
        difference = auditor.check(interval, read_bundle(options.bundles, interval))
        say(f"interval {interval}: {difference or 'ok'}")
        is_right &= difference is None
    for difference in auditor.missing_receipts(intervals[-1]):
        say(f"receipts: {difference}")
        is_right = False
    for difference in record.general:
        say(f"chain at block {record.head.number}: {difference}")
    if not record.is_historical:
        say("note: the node keeps no old states; balances were compared at the newest block only")
    head = record.head
    say(
        f"{len(intervals)} intervals, chain {deployment.chain_id} up to block {head.number} 0x{head.hash.hex()}"
    )
    return is_right and not record.general


def bundle_files(folder: Path) -> set[int]:
    """Return the intervals that have a file in a folder of bundles.

    Raises
    ------
    OSError
        If the folder cannot be read.
    """
    names = [path.name for path in folder.iterdir()]
    return {int(match[1]) for name in names if (match := _NAME.fullmatch(name))}


def read_bundle(folder: Path, interval: int) -> bytes | None:
    """Return an interval's file, None if there is none."""
    path = folder / file_name(interval)
    return path.read_bytes() if path.exists() else None


def _on_chain(record: ChainRecord) -> set[int]:
    """Return the intervals that the operator settled or committed to."""
    return {t for t, found in record.by_interval.items() if found.chunks or found.notes or found.differences}


def prove_omission(options: Options, receipt: Path, say: Callable[[str], None]) -> bool:
    """Compare a receipt with every bundle that its order covers; say what it shows, return whether one omits it.

    Raises
    ------
    BadReceipt
        If the receipt itself proves nothing.
    ContractError, WrongChain, ChainUnavailable, OSError
        As `run`.
    NothingToVerify
        If nothing that the order covers is published.
    """
    deployment = deployed.load_address_book(options.book)
    contracts = deployed.compile_contracts(options.cache)
    with opened(options.rpc, options.chain, deployment.chain_id) as chain:
        deployed.verify(chain, contracts, deployment)
        record = ChainRecord(chain, contracts, deployment)
        record.replay()
    line = read_receipt(receipt.read_text(), record)
    say(
        f"order {line.sequence} of account {line.account}: signed by its agent, receipt signed by the operator"
    )
    published = bundle_files(options.bundles) | _on_chain(record)
    covered = [t for t in range(line.first, line.last + 1) if t in published]
    if not covered:
        raise NothingToVerify(f"no interval of {line.first}..{line.last} is published yet")
    verdicts = set()
    for interval in covered:
        finding = prove(record, line, interval, read_bundle(options.bundles, interval))
        say(f"interval {interval}: {finding.verdict}: {finding.words}")
        verdicts.add(finding.verdict)
    return Verdict.OMITTED in verdicts
