"""What a contract's revert data says: its reason string, a panic code, or the bytes themselves."""

from eth_abi import decode
from eth_abi.exceptions import DecodingError

# Solidity and Vyper encode reasons as calls of these: https://docs.vyperlang.org, "Error(string)".
ERROR = bytes.fromhex("08c379a0")  # Error(string)
PANIC = bytes.fromhex("4e487b71")  # Panic(uint256)


def revert_reason(data: bytes) -> str:
    """Return the reason in revert data; empty if there is none."""
    try:
        if data[:4] == ERROR:
            return decode(["string"], data[4:])[0]
        if data[:4] == PANIC:
            return f"panic {decode(['uint256'], data[4:])[0]:#x}"
    except (DecodingError, UnicodeDecodeError):
        pass
    return f"0x{data.hex()}" if data else ""
