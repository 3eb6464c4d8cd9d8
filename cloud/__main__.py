"""Commands of the cloud service: `linli cloud serve | ingest | migrate | check-config | …`."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress

from cloud import settings as cloud_settings
from cloud.errors import CloudError
from cloud.kit.clock import SystemClock
from cloud.kit.sql import Database
from cloud.people.model import Language, Role
from cloud.settings import CloudSettings
from contract.config_text import ConfigError

app: Final = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Run and look after the cloud service."
)
_console: Final = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigFile = Annotated[
    Path, typer.Option("--config", help="The settings, see config/cloud.example.yaml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
_DEFAULT: Final = Path("cloud.yaml")


@contextmanager
def told() -> Iterator[None]:
    """Turn what goes wrong on purpose into one clear line and exit code 1."""
    try:
        yield
    except ConfigError as error:
        for mistake in error.mistakes:
            _console.print(str(mistake), style="red", markup=False)
        raise typer.Exit(1) from None
    except CloudError as error:
        _console.print(f"error: {error}", style="red", markup=False)
        if error.hint:
            _console.print(f"hint:  {error.hint}", markup=False)
        raise typer.Exit(1) from None
    except OSError as error:
        _console.print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(1) from None


def say(text: str) -> None:
    """Print a line of the answer to stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer(facts: dict[str, object], text: str, *, as_json: bool) -> None:
    """Print the answer for programs or for people."""
    say(json.dumps(facts, ensure_ascii=False) if as_json else text)


@contextmanager
def opened(settings: CloudSettings, *, must_be_current: bool = True) -> Iterator[Database]:
    """Open the database for one command.

    Raises:
        UnavailableError: it is not at the revision this version needs.
    """
    from cloud.kit import migrations

    database = Database(cloud_settings.database_url(settings))
    try:
        if must_be_current:
            migrations.require_newest(database)
        yield database
    finally:
        database.close()


def _prepared(config: Path) -> CloudSettings:
    from cloud.kit import logging

    settings = cloud_settings.load(config)
    logging.configure(settings.log.level, settings.log.format)
    return settings


@app.command()
def serve(config: ConfigFile = _DEFAULT) -> None:
    """Serve the API, the event stream and the web pages until told to stop."""
    from cloud import app as web
    from cloud.kit import web_server

    with told():
        settings = _prepared(config)
        with opened(settings):
            bound = web_server.listen(settings.web.host, settings.web.port)
        cloud = web.build(settings)
        served = web.wrap(web.create_app(cloud), settings)
        host = f"[{settings.web.host}]" if ":" in settings.web.host else settings.web.host
        text = f"listening on http://{host}:{bound.getsockname()[1]}"
        server = web_server.WebServer(served, bound, cloud.screens.stop, on_start=lambda: say(text))
        cloud.on_crash = server.fail
        if not server.run():
            raise typer.Exit(1)


@app.command()
def migrate(
    config: ConfigFile = _DEFAULT,
    site: Annotated[
        Path | None, typer.Option(help="Also import this site file, as import-site does.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Bring the database up to date; on the first start also make the administrator and print the password once."""
    from cloud.kit import migrations
    from cloud.kit.password import Passwords
    from cloud.notify import journal
    from cloud.people.accounts import Accounts

    with told():
        settings = cloud_settings.load(config)
        clock = SystemClock()
        with opened(settings, must_be_current=False) as database:
            revision = migrations.upgrade(database)
            with database.write() as connection:
                journal.start(connection, clock.now_ms())
            made = Accounts(database, clock=clock, passwords=Passwords()).first_start()
        login = (
            None if made is None else {"username": made.user.username, "password": made.password}
        )
        text = f"database is at revision {revision}"
        if login is not None:
            text += (
                f"\nfirst login: {login['username']}  {login['password']}"
                "\nthis password is shown once and stored nowhere; change it after signing in"
            )
        answer({"revision": revision, "first_login": login}, text, as_json=as_json)
    if site is not None:
        import_site(site, config)


@app.command("check-config")
def check_config(config: ConfigFile = _DEFAULT, *, as_json: AsJson = False) -> None:
    """Check the settings and everything they name; print every mistake with its line."""
    from cloud.alerts import ruleset

    try:
        settings = cloud_settings.load(config)
        ruleset.load(settings.rules)
    except ConfigError as error:
        if as_json:
            mistakes = [
                {"file": m.file, "line": m.line, "path": m.path, "message": m.message, "hint": m.hint}
                for m in error.mistakes
            ]  # fmt: skip
            say(json.dumps({"ok": False, "mistakes": mistakes}, ensure_ascii=False))
        else:
            for mistake in error.mistakes:
                _console.print(str(mistake), style="red", markup=False)
        raise typer.Exit(1) from None
    text = (
        f"{config} is right; the web server will listen on {settings.web.host}:{settings.web.port}"
    )
    answer({"ok": True, "mistakes": []}, text, as_json=as_json)


@app.command("add-user")
def add_user(
    username: Annotated[str, typer.Argument(help="What the person signs in with.")],
    role: Annotated[Role, typer.Option(help="What the person may do.")],
    name: Annotated[str, typer.Option(help="Name on screens; the username when left out.")] = "",
    language: Annotated[Language, typer.Option(help="Language of the screens.")] = Language.ZH,
    config: ConfigFile = _DEFAULT,
    *,
    as_json: AsJson = False,
) -> None:
    """Add a person with a generated password, printed once, to be changed at the first login."""
    from cloud.kit.password import Passwords
    from cloud.people.accounts import Accounts

    with told(), opened(cloud_settings.load(config)) as database:
        accounts = Accounts(database, clock=SystemClock(), passwords=Passwords())
        made = accounts.add(username=username, name=name or username, role=role, language=language)
        facts: dict[str, object] = {
            "id": made.user.id,
            "username": username,
            "password": made.password,
        }
        answer(facts, f"{username}  {made.password}", as_json=as_json)


@app.command("set-password")
def set_password(
    username: Annotated[str, typer.Argument(help="Whose password.")],
    config: ConfigFile = _DEFAULT,
    *,
    as_json: AsJson = False,
) -> None:
    """Give a person a new generated password, printed once; ends all their sessions."""
    from cloud.kit.password import Passwords
    from cloud.people.accounts import SYSTEM, Accounts

    with told(), opened(cloud_settings.load(config)) as database:
        accounts = Accounts(database, clock=SystemClock(), passwords=Passwords())
        person = accounts.named(username)
        password = accounts.set_password(person.id, None, by=SYSTEM)
        answer({"username": username, "password": password}, f"{username}  {password}", as_json=as_json)  # fmt: skip


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(help="Folder for the copy; must not exist.")],
    config: ConfigFile = _DEFAULT,
    *,
    as_json: AsJson = False,
) -> None:
    """Copy database and series while everything runs, and check the copies."""
    from cloud.errors import ConflictError
    from cloud.kit.backup import copy_database
    from cloud.series import backup as series_backup

    with told():
        settings = cloud_settings.load(config)
        if target.exists():
            raise ConflictError(f"{target} exists already", "choose a new folder")
        target.mkdir(parents=True)
        started = time.monotonic()
        with opened(settings) as database, _console.status("copying the database"):
            size = copy_database(database, target / "app.db")
        facts: dict[str, object] = {"folder": str(target), "app_bytes": size, "segments": 0}
        if settings.series.path.is_dir():
            with _console.status("copying the series"):
                made = series_backup.backup(settings.series.path, target / "series")
            facts |= {"segments": made.segments, "series_bytes": made.bytes}
        seconds = round(time.monotonic() - started, 2)
        text = f"{target}: copied and checked in {seconds} s"
        answer(facts | {"seconds": seconds}, text, as_json=as_json)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="Folder made by `linli cloud backup`.")],
    config: ConfigFile = _DEFAULT,
    *,
    as_json: AsJson = False,
) -> None:
    """Put a backup back; the service must be stopped. The present files are kept beside the restored ones."""
    from cloud import restore as restoring

    with told(), _console.status("restoring"):
        settings = cloud_settings.load(config)
        done = restoring.restore(settings, source, SystemClock().now_ms())
        facts = {"revision": done.revision, "epoch": done.epoch, "kept": list(done.kept)}
        text = "\n".join((f"restored from {source}", *(f"kept as {path}" for path in done.kept)))
        answer(facts, text, as_json=as_json)


@app.command()
def openapi(
    out: Annotated[Path | None, typer.Option(help="Write to this file, not to stdout.")] = None,
) -> None:
    """Print the description of the API (OpenAPI 3.1), as in docs/openapi.json."""
    from cloud.app import bare_app

    _write(out, json.dumps(bare_app().openapi(), ensure_ascii=False, indent=1))


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="Write to this file, not to stdout.")] = None,
) -> None:
    """Print the JSON Schema of the settings, as in config/cloud.schema.json."""
    _write(out, json.dumps(cloud_settings.json_schema(), ensure_ascii=False, indent=1))


@app.command("make-migration")
def make_migration(
    message: Annotated[str, typer.Argument(help="What changes, in a few words.")],
) -> None:
    """Write the next migration from what the code declares; for developers, in a checkout."""
    import tempfile

    from cloud.kit import migrations

    with told(), tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/app.db")
        try:
            if migrations.newest():
                migrations.upgrade(database)
            say(str(migrations.make(database, message)))
        finally:
            database.close()


def _write(out: Path | None, text: str) -> None:
    if out is None:
        say(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")


@app.command("import-site")
def import_site(
    file: Annotated[Path, typer.Argument(help="The site file: places, edges, positions.")],
    config: ConfigFile = _DEFAULT,
) -> None:
    """Take over places, edges and positions from a site file; the same file again changes nothing."""
    from cloud.devices import registry
    from cloud.devices.site import read_site

    with told():
        settings = cloud_settings.load(config)
        site = read_site(file)
        with opened(settings) as database, database.write() as connection:
            registry.import_site(connection, site)
        say(f"{site.site.name_zh}: {len(site.places)} places, {len(site.devices)} positions")


@app.command()
def replay(
    days: Annotated[float, typer.Option(min=0.01, max=400, help="How far back.")] = 1.0,
    config: ConfigFile = _DEFAULT,
    *,
    as_json: AsJson = False,
) -> None:
    """Print what the present rules would have raised on the stored readings; changes nothing."""
    from cloud import review
    from cloud.app import open_reader

    with told():
        settings = cloud_settings.load(config)
        clock = SystemClock()
        end = clock.now_ms()
        start = end - int(days * review.DAY_MS)
        with opened(settings) as database, Progress(console=_console, transient=True) as bar:
            task = bar.add_task("replaying", total=end - start)
            found = review.would_have_raised(
                settings, database, open_reader(settings, clock), start=start, end=end,
                progress=lambda at: bar.update(task, completed=at - start),
            )  # fmt: skip
        for alert in found:
            facts: dict[str, object] = {
                "at": alert.opened_at, "priority": int(alert.priority), "rule": alert.rule,
                "subject": alert.subject, "title": alert.title_zh,
            }  # fmt: skip
            when = datetime.fromtimestamp(alert.opened_at / 1000, UTC).astimezone()
            text = f"{when:%Y-%m-%d %H:%M:%S}  P{int(alert.priority)}  {alert.rule}  {alert.subject}  {alert.title_zh}"
            answer(facts, text, as_json=as_json)
        _console.print(f"{len(found)} alerts in {days:g} days", markup=False)


@app.command("verify-history")
def verify_history(config: ConfigFile = _DEFAULT, *, as_json: AsJson = False) -> None:
    """Check that nobody rewrote the history of an alert; exit code 1 when somebody did."""
    from cloud import review
    from cloud.alerts.service import AlertService

    with told(), opened(cloud_settings.load(config)) as database:
        alerts = AlertService(database=database, clock=SystemClock())
        with _console.status("checking") as status:
            found = review.check_histories(alerts, lambda done: status.update(f"checked {done}"))
        facts: dict[str, object] = {"checked": found.checked, "broken": list(found.broken)}
        text = f"{found.checked} histories checked, {len(found.broken)} broken"
        answer(facts, "\n".join([text, *found.broken]), as_json=as_json)
        if found.broken:
            raise typer.Exit(1)


@app.command()
def ingest(config: ConfigFile = _DEFAULT) -> None:
    """Take in, judge and store what the edge nodes send, until told to stop."""
    from cloud import worker

    with told():
        settings = _prepared(config)
        with opened(settings):
            pass
        code = worker.run(settings)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
