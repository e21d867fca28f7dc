"""What the profile door refuses; every message says which file and line, and what was expected."""


class ProfileError(Exception):
    """A profile that cannot be used as it is."""
