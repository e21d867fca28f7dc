"""Commands that need no hub: verify, prove-omission, exit, deploy, keys new. Each is a thin call."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from node.errors import NodeError
from node.scenario import ScenarioError

EXIT_DIFFERS = 1
EXIT_USAGE = 2
# Read where neither a prompt nor a file will do, such as under a service manager.
PASSWORD_VARIABLE = "SYMGRID_PASSWORD"

Fail = Callable[[str, int], NoReturn]
Bundles = Annotated[Path, typer.Option(help="folder with the published bundles")]
Book = Annotated[Path, typer.Option(help="address book of the community")]
Rpc = Annotated[str | None, typer.Option(help="URL of a node of the chain")]
ChainFile = Annotated[Path | None, typer.Option("--chain", help="file of an embedded chain")]
PasswordFile = Annotated[
    Path | None, typer.Option(help=f"first line: the password; otherwise {PASSWORD_VARIABLE} or a prompt")
]


def register(app: typer.Typer, console: Console, fail: Fail) -> None:
    """Add the commands to the program."""
    keys = typer.Typer(no_args_is_help=True, help="Make and look at keys.")
    app.add_typer(keys, name="keys")
    _register_checks(app, console, fail)
    _register_money(app, keys, console, fail)


def _register_checks(app: typer.Typer, console: Console, fail: Fail) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False)

    @app.command()
    def verify(
        bundles: Bundles,
        book: Book,
        rpc: Rpc = None,
        chain: ChainFile = None,
        first: Annotated[int, typer.Option(min=0, help="first interval")] = 0,
        last: Annotated[int, typer.Option(min=0, help="last interval")] = 2**24 - 1,
    ) -> None:
        """Recompute every published interval from public data; status 1 if anything differs."""
        from node import verify as verification
        from node.chain.contracts import cache_folder

        with _told(fail):
            options = verification.Options(bundles, book, rpc, chain, cache_folder(), first, last)
            is_right = verification.run(options, say)
        if not is_right:
            raise typer.Exit(EXIT_DIFFERS)

    @app.command()
    def prove_omission(
        receipt: Annotated[Path, typer.Argument(help="the order that was handed in, and its receipt")],
        bundles: Bundles,
        book: Book,
        rpc: Rpc = None,
        chain: ChainFile = None,
    ) -> None:
        """Show that a received order was left out; status 0 if that is proven, 1 if not."""
        from node import verify as verification
        from node.chain.contracts import cache_folder

        with _told(fail):
            options = verification.Options(bundles, book, rpc, chain, cache_folder())
            is_proven = verification.prove_omission(options, receipt, say)
        if not is_proven:
            raise typer.Exit(EXIT_DIFFERS)


def _register_money(app: typer.Typer, keys: typer.Typer, console: Console, fail: Fail) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False)

    @app.command("exit")
    def leave(
        book: Book,
        keystore: Annotated[Path, typer.Option(help="the owner's encrypted key")],
        rpc: Rpc = None,
        chain: ChainFile = None,
        account: Annotated[int | None, typer.Option(min=0, help="if the key owns several")] = None,
        amount: Annotated[str | None, typer.Option(help="credits; everything if left out")] = None,
        at: Annotated[
            int | None,
            typer.Option(help="unix time of the blocks made on an embedded chain; now if left out"),
        ] = None,
        password_file: PasswordFile = None,
    ) -> None:
        """Take money out without the hub: request it, and after the delay run this again to be paid."""
        from node import exit as leaving
        from node.chain.contracts import cache_folder
        from node.chain.keys import load_keystore

        with _told(fail):
            amount_pico = None if amount is None else leaving.amount_of(amount)
            owner = load_keystore(keystore, password(password_file))
            leaving.run(
                leaving.Options(book, rpc, chain, cache_folder(), account, amount_pico, at), owner, say
            )

    @app.command()
    def deploy(
        rpc: Annotated[str, typer.Option(help="URL of a node of the chain")],
        chain_id: Annotated[int, typer.Option(min=1, help="what that chain must be")],
        keystores: Annotated[Path, typer.Option(help="folder with one keystore a role")],
        book: Annotated[Path, typer.Option(help="address book to write")] = Path("contracts.json"),
        scenario: Annotated[
            str | None, typer.Option(help="take fee, delays and caps from a scenario file")
        ] = None,
        deployer: Annotated[str, typer.Option(help="keystore that pays for it")] = "issuer",
        password_file: PasswordFile = None,
    ) -> None:
        """Deploy the contracts, verify their code on chain, write the address book; again: only verify."""
        from node import deploy as deployment
        from node.chain.contracts import Parameters, cache_folder
        from node.founding import parameters
        from node.scenario import load, scenario_path

        with _told(fail):
            terms = Parameters() if scenario is None else parameters(load(scenario_path(scenario)))
            options = deployment.Options(rpc, chain_id, keystores, book, cache_folder(), terms, deployer)
            deployment.run(options, password(password_file), say)

    @keys.command("new")
    def new_key(
        files: Annotated[list[Path], typer.Argument(help="keystores to write, such as keys/operator.json")],
        password_file: PasswordFile = None,
    ) -> None:
        """Make keys in encrypted keystores that only you may read; never overwrite one."""
        from node.chain.keys import LocalSigner, checksum, save_keystore

        with _told(fail):
            secret = password(password_file, is_new=True)
            for file in files:
                signer = LocalSigner(_fresh_key())
                save_keystore(file, signer, secret)
                say(f"{file}: {checksum(signer.address)}")


def _fresh_key() -> bytes:
    """Return 32 random bytes that are a private key: all but one in 2**127 are."""
    from node.chain.keys import GROUP_ORDER

    return (1 + secrets.randbelow(GROUP_ORDER - 1)).to_bytes(32, "big")


def password(file: Path | None, *, is_new: bool = False) -> str:
    """Return the password of a keystore from a file, the environment, or a prompt; it is shown nowhere."""
    if file is not None:
        return file.read_text().split("\n", 1)[0]
    told = os.environ.get(PASSWORD_VARIABLE)
    if told is not None:
        return told
    prompted: str = typer.prompt("password", hide_input=True, confirmation_prompt=is_new)
    return prompted


@contextmanager
def _told(fail: Fail) -> Iterator[None]:
    """Tell what goes wrong in one line."""
    try:
        yield
    except (ScenarioError, NodeError, ValueError) as error:
        fail(str(error), EXIT_USAGE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{error.strerror or error}", EXIT_USAGE)
