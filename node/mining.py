"""Have what a community owes its chain mined: drive the outbox, make blocks, project them, compare store and chain."""

from node.chain.outbox import SettlementHalted
from node.chain.reconcile import reconcile_or_halt
from node.community import Community

# A chain that needs more blocks than this for one interval's transactions is not making progress.
MAX_BLOCKS_PER_INTERVAL = 50


def mine(community: Community, at_s: int, n_intervals: int = 1) -> None:
    """Drive the outbox until everything is final, in blocks from `at_s` on; then compare every account.

    Parameters
    ----------
    at_s : int
        Unix time of the first block, or one second after the head if that is later.
    n_intervals : int
        How many intervals' transactions wait at most.

    Raises
    ------
    SettlementHalted
        If the chain does not take what waits for it, or store and chain differ in any account.
    """
    chain, sender, watcher = community.chain, community.sender, community.watcher
    if chain is None or sender is None or watcher is None:
        return
    assert community.contracts is not None
    assert community.deployment is not None
    for _ in range(MAX_BLOCKS_PER_INTERVAL * n_intervals):
        if sender.drive().open == 0:
            break
        if chain.waiting():
            chain.produce_block(max(at_s, chain.head().timestamp_s + 1))
    else:
        raise SettlementHalted("outbox", str(sender.open()), "the chain does not take what waits for it")
    watcher.ingest()
    reconcile_or_halt(community.store, chain, community.contracts, community.deployment)
