"""Where a community's database is: a file in its state folder, or the server that `store.url` there names."""

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

FILE = "store.sqlite"
_URL = "store.url"


def url_in(state: Path) -> str:
    """Return the URL of the database of a state folder."""
    path = state / _URL
    return path.read_text().strip() if path.exists() else f"sqlite:///{state / FILE}"


def is_in(state: Path) -> bool:
    """Tell whether the folder has a database, or knows of one."""
    return (state / FILE).exists() or (state / _URL).exists()


def remember(state: Path, url: str) -> None:
    """Write down which server has the database of a state folder."""
    (state / _URL).write_text(url + "\n")


def checked(url: str) -> str:
    """Return the URL of a PostgreSQL database that may be written down.

    Raises
    ------
    ValueError
        If it is none, or holds a password.
    """
    try:
        parts = make_url(url)
    except ArgumentError as error:
        raise ValueError("store: expected postgresql+psycopg://user@host/database") from error
    if parts.get_backend_name() != "postgresql":
        raise ValueError(
            f"store {parts.render_as_string()}: expected postgresql+psycopg://user@host/database"
        )
    if parts.password is not None:
        raise ValueError(
            f"store {parts.render_as_string()}: a password does not belong in the URL; "
            "put it in ~/.pgpass or PGPASSWORD"
        )
    return url
