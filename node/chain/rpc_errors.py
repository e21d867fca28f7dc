"""What nodes say when something is wrong (geth, Besu, anvil), and what it means to us."""

from node.chain.ports import RejectionReason

# What nodes say when they refuse a transaction (geth, Besu, anvil), in lower case.
_REFUSALS: tuple[tuple[str, RejectionReason], ...] = (
    ("already known", RejectionReason.KNOWN),
    ("already imported", RejectionReason.KNOWN),
    ("known transaction", RejectionReason.KNOWN),
    ("nonce too low", RejectionReason.NONCE_TOO_LOW),
    ("nonce below", RejectionReason.NONCE_TOO_LOW),
    ("nonce too high", RejectionReason.NONCE_TOO_HIGH),
    ("nonce too distant", RejectionReason.NONCE_TOO_HIGH),
    ("upfront cost exceeds", RejectionReason.FUNDS),
    ("underpriced", RejectionReason.UNDERPRICED),
    ("gas price below", RejectionReason.UNDERPRICED),
    ("max fee per gas less than", RejectionReason.UNDERPRICED),
    ("exceeds block gas limit", RejectionReason.GAS_LIMIT),
    ("intrinsic gas", RejectionReason.GAS_LIMIT),
    ("chain id", RejectionReason.WRONG_CHAIN_ID),
    ("chainid", RejectionReason.WRONG_CHAIN_ID),
    ("replay-protected", RejectionReason.WRONG_CHAIN_ID),
    ("signature", RejectionReason.BAD_SIGNATURE),
    ("invalid sender", RejectionReason.BAD_SIGNATURE),
    ("funds", RejectionReason.FUNDS),
    ("gas limit", RejectionReason.GAS_LIMIT),
    ("malformed", RejectionReason.MALFORMED),
    ("rlp", RejectionReason.MALFORMED),
    ("decod", RejectionReason.MALFORMED),
)
# What nodes say of a block that they do not have: they are behind, or on another branch.
_UNKNOWN_BLOCK = (
    "header not found",
    "unknown block",
    "block not found",
    "world state unavailable",
    "out of range",
)
METHOD_ERRORS = frozenset({-32700, -32600, -32601, -32602})


def refusal(message: str) -> RejectionReason:
    """Return why a node refused a transaction."""
    text = message.lower()
    return next((reason for words, reason in _REFUSALS if words in text), RejectionReason.OTHER)


def is_unknown_block(message: str) -> bool:
    """Tell whether a node says that it does not have a block."""
    text = message.lower()
    return any(words in text for words in _UNKNOWN_BLOCK)
