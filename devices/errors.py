"""What the device models refuse, and why.

DeviceError
├── BadSpecification     a device description that no device can have; names the device, the field, the rule
├── BadInput             a setpoint, profile or step length that is no number or out of range; names the row
├── BadTable             a table that does not rise, is too short or leaves its range
└── BadCheckpoint        bytes that are no state of this fleet
"""


class DeviceError(Exception):
    """Base of all errors of this package."""


class BadSpecification(DeviceError, ValueError):
    """A device description that no device can have.

    Attributes
    ----------
    name : str
        The device.
    field : str
        The offending field.
    """

    def __init__(self, name: str, field: str, expected: str, got: object) -> None:
        super().__init__(f"device {name!r}: {field} must be {expected}, got {got!r}")
        self.name = name
        self.field = field


class BadInput(DeviceError, ValueError):
    """An input of a step is no number, out of range, or of the wrong shape; nothing was changed."""

    def __init__(self, what: str, expected: str, row: int | None = None, got: object = None) -> None:
        where = "" if row is None else f" at row {row}"
        value = "" if got is None else f", got {got!r}"
        super().__init__(f"{what}{where} must be {expected}{value}")
        self.what = what
        self.row = row


class BadTable(DeviceError, ValueError):
    """A table that does not rise, is too short or leaves its range."""


class BadCheckpoint(DeviceError, ValueError):
    """Bytes that are no state of this fleet: wrong version, length or shape."""
