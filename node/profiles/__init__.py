"""Load and solar profiles: the shipped extract and users' own CSV files."""

from node.profiles.assembly import ProfileSet, load
from node.profiles.errors import ProfileError

__all__ = ["ProfileError", "ProfileSet", "load"]
