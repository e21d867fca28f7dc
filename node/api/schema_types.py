"""What all schemas of the API are made of: the base of answers, and texts and numbers with their form."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Hex32 = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$", examples=["0x" + "ab" * 32])]
AddressText = Annotated[
    str, Field(pattern=r"^0x[0-9a-fA-F]{40}$", examples=["0x9Fb4C2d1E0a39c7f6B5A40Df4ee2e2B3a0F5c1d7"])
]
SignatureText = Annotated[
    str,
    Field(
        pattern=r"^0x([0-9a-fA-F]{128}|[0-9a-fA-F]{130})$",
        description="r and vs (EIP-2098, 64 bytes), or r, s, v as wallets give it (65 bytes)",
        examples=["0x" + "5e" * 64],
    ),
]
CompactText = Annotated[str, Field(pattern=r"^0x[0-9a-f]{128}$", examples=["0x" + "5e" * 64])]
Time = Annotated[str, Field(examples=["2026-04-16T10:15:00Z"])]
IntervalIndex = Annotated[int, Field(ge=0, le=2**24 - 1, examples=[1973700])]


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)
