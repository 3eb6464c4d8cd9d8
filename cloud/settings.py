"""The cloud's settings: one YAML file, overrides from `LINLI_CLOUD__…`, secrets from files."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)
from typing_extensions import override

from contract import config_text
from contract.config_text import ConfigError, Document, Mistake

PREFIX: Final = "LINLI_CLOUD__"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SQLITE: Final = "sqlite:///"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Part):
    """Where people, devices, alerts and the journal are kept."""

    url: str = Field(
        default="sqlite:///app.db",
        max_length=500,
        pattern=r"^(sqlite:///|postgresql\+psycopg://).+",
        description="sqlite:///file (relative to this file, or four slashes and an absolute path) or "
        "postgresql+psycopg://user@host/name; the password belongs into password_file.",
    )
    password_file: Path | None = Field(
        default=None, description="File with the password of the PostgreSQL user."
    )

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str) -> str:
        authority = url.partition("://")[2].partition("/")[0]
        if ":" in authority.rpartition("@")[0]:
            raise ValueError("a password in the URL would show in logs: use password_file")
        return url

    @model_validator(mode="after")
    def _user_for_password(self) -> Self:
        if self.password_file is not None and "@" not in self.url:
            raise ValueError(
                "password_file needs a user in the url: postgresql+psycopg://user@host/name"
            )
        return self


class LocalSeries(_Part):
    """Time series in files of this machine: SQLite for what is hot, Parquet for what is closed."""

    kind: Literal["local"] = Field(default="local", description="Where readings are kept.")
    path: Path = Field(default=Path("series"), description="Folder of the series.")


class InfluxSeries(_Part):
    """Time series in InfluxDB 2."""

    kind: Literal["influx"] = Field(description="Where readings are kept.")
    url: str = Field(pattern=r"^https?://.+", max_length=500, description="http://host:8086")
    org: str = Field(min_length=1, max_length=100, description="Organisation in InfluxDB.")
    bucket: str = Field(min_length=1, max_length=100, description="Bucket that takes the readings.")
    token_file: Path = Field(description="File with the API token of InfluxDB.")
    path: Path = Field(
        default=Path("series"), description="Folder of the durable rows that wait for InfluxDB."
    )


class RetentionSettings(_Part):
    """How long things are kept, in days."""

    safety_days: int = Field(
        default=1095, ge=1, le=7300, description="Readings of gas, water pressure, level."
    )
    process_days: int = Field(
        default=365, ge=1, le=7300, description="Readings of temperature, flow and the like."
    )
    housekeeping_days: int = Field(
        default=90, ge=1, le=7300, description="Readings of battery, signal strength, states."
    )
    journal_days: int = Field(
        default=30, ge=1, le=3650, description="Changes a screen can resume from."
    )


class TlsSettings(_Part):
    """Certificates for MQTT over TLS."""

    ca_file: Path = Field(description="Certificates that are trusted, PEM.")
    cert_file: Path | None = Field(default=None, description="Own certificate, PEM.")
    key_file: Path | None = Field(default=None, description="Key of the own certificate, PEM.")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        return self


class BrokerSettings(_Part):
    """The MQTT broker between the edges and this service."""

    host: str = Field(
        default="127.0.0.1", min_length=1, max_length=253, description="Host of the broker."
    )
    port: int = Field(default=1883, ge=1, le=65535, description="1883, with TLS 8883.")
    username: str = Field(
        default="linli-cloud", min_length=1, max_length=64, description="User of this service."
    )
    password_file: Path = Field(
        default=Path("secrets/linli-cloud"), description="File with the password of that user."
    )
    tls: TlsSettings | None = Field(default=None, description="Needed unless on this machine.")
    plain_text: bool = Field(
        default=False,
        description="Allow a broker on another host without TLS: only inside a private container network.",
    )

    @model_validator(mode="after")
    def _encrypted_outside(self) -> Self:
        if self.host not in _LOOPBACK and self.tls is None and not self.plain_text:
            raise ValueError(
                f"{self.host!r} is not this machine: give tls, or plain_text: true in a private network"
            )
        return self


class WebSettings(_Part):
    """The web server: API, event stream, screens."""

    host: str = Field(
        default="127.0.0.1", min_length=1, max_length=253, description="Address to listen on."
    )
    port: int = Field(
        default=8600, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    dist: Path = Field(
        default=Path("dashboards/dist"), description="Folder of the built web pages."
    )
    is_https: bool = Field(
        default=False,
        description="Browsers reach this service by https (a proxy in front): cookies are then marked Secure.",
    )
    origins: tuple[str, ...] = Field(
        default=(),
        max_length=20,
        description="Further origins whose pages may send commands: https://duty.example.cn",
    )
    session_idle_min: int = Field(
        default=720, ge=5, le=10_080, description="Minutes without use after which a session ends."
    )
    session_hours: int = Field(
        default=36, ge=1, le=720, description="Hours after which a session ends in any case."
    )
    stream_limit: int = Field(
        default=1_000, ge=1, le=20_000, description="Open event streams of all people."
    )
    stream_limit_user: int = Field(
        default=20, ge=1, le=20_000, description="Open event streams of one person."
    )


class LogSettings(_Part):
    """What the processes say about themselves."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lines below this level are not written."
    )
    format: Literal["text", "json"] = Field(
        default="text", description="json in containers, text for people."
    )


Shard = Annotated[int, Field(ge=0, le=63)]


class CloudSettings(BaseSettings):
    """Everything an installer can set for the cloud service; relative paths start at the file's folder."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    database: DatabaseSettings = Field(
        default=DatabaseSettings(), description="People, devices, alerts, journal."
    )
    series: Annotated[LocalSeries | InfluxSeries, Field(discriminator="kind")] = Field(
        default=LocalSeries(), description="Readings."
    )
    retention: RetentionSettings = Field(
        default=RetentionSettings(), description="How long things are kept."
    )
    broker: BrokerSettings = Field(default=BrokerSettings(), description="The MQTT broker.")
    web: WebSettings = Field(default=WebSettings(), description="The web server.")
    rules: Path = Field(default=Path("config/rules"), description="Folder of the alert rules.")
    shards: tuple[Shard, Shard] = Field(
        default=(0, 63), description="First and last shard that this ingest worker owns."
    )
    log: LogSettings = Field(default=LogSettings(), description="Log lines.")

    @model_validator(mode="after")
    def _shards_in_order(self) -> Self:
        if self.shards[0] > self.shards[1]:
            raise ValueError("shards: the first is larger than the last")
        return self

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file."""
        return env_settings, init_settings


def load(file: Path) -> CloudSettings:
    """Read and check everything; paths in the result are absolute.

    Raises:
        ConfigError: with every mistake, its line and what to do.
    """
    settings, document = read(file)
    mistakes = _missing_files(settings, document)
    if mistakes:
        raise ConfigError(mistakes)
    return settings


def read(file: Path) -> tuple[CloudSettings, Document]:
    """Read and check the text alone, not whether the files it names exist.

    Raises:
        ConfigError: with every mistake.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            [Mistake(str(file), 0, "", f"cannot be read: {error}", "give --config FILE")]
        ) from None
    document = config_text.read_yaml(text, file.name)
    mistakes = _unknown_variables()
    document = replace(document, value=_with_environment(document.value))
    try:
        settings = config_text.validate(document, CloudSettings)
    except ConfigError as error:
        mistakes += [_from_environment(mistake) for mistake in error.mistakes]
        raise ConfigError(mistakes) from None
    if mistakes:
        raise ConfigError(mistakes)
    return _absolute(settings, file.resolve().parent), document


def _with_environment(value: Any) -> Any:  # noqa: ANN401 - parsed YAML, not yet judged
    """Put the environment's values over the file's, so that a mistake in them has its full path."""
    try:
        given = EnvSettingsSource(CloudSettings)()
    except SettingsError as error:
        reason = error.__cause__ or error
        raise ConfigError([Mistake("environment", 0, "", f"{error}: {reason}")]) from None
    return _over(value, given) if given else value


def _over(below: Any, above: Any) -> Any:  # noqa: ANN401 - parsed YAML, not yet judged
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _over(below.get(key), value) for key, value in above.items()}


def _unknown_variables() -> list[Mistake]:
    fields = {name.upper() for name in CloudSettings.model_fields}
    return [
        Mistake("environment", 0, name, "is not a known setting", "unset it, or correct its name")
        for name in sorted(os.environ)
        if name.startswith(PREFIX) and name[len(PREFIX) :].split("__")[0].upper() not in fields
    ]


def _from_environment(mistake: Mistake) -> Mistake:
    """Name the variable when the mistaken value came from the environment."""
    variable = PREFIX + mistake.path.upper().replace(".", "__")
    if mistake.path and variable in os.environ:
        return Mistake("environment", 0, variable, mistake.message, mistake.hint)
    return mistake


def _absolute(settings: CloudSettings, folder: Path) -> CloudSettings:
    url = settings.database.url
    if url.startswith(_SQLITE):
        url = _SQLITE + str(folder / url.removeprefix(_SQLITE))
    database = settings.database.model_copy(update={"url": url})
    return settings.model_copy(
        update={
            "database": _anchored(database, folder),
            "series": _anchored(settings.series, folder),
            "broker": _anchored(settings.broker, folder),
            "web": _anchored(settings.web, folder),
            "rules": folder / settings.rules,
        }
    )


def _anchored(part: Any, folder: Path) -> Any:  # noqa: ANN401 - any part of the settings, given back as the same type
    update: dict[str, object] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Path):
            update[name] = folder / value
        elif isinstance(value, BaseModel):
            update[name] = _anchored(value, folder)
    return part.model_copy(update=update)


def _missing_files(settings: CloudSettings, document: Document) -> list[Mistake]:
    """Tell what the settings name and the disk does not have."""
    files: list[tuple[tuple[str, ...], Path | None]] = [
        (("broker", "password_file"), settings.broker.password_file),
        (("database", "password_file"), settings.database.password_file),
    ]
    if settings.broker.tls is not None:
        names = ("ca_file", "cert_file", "key_file")
        files += [(("broker", "tls", name), getattr(settings.broker.tls, name)) for name in names]
    if isinstance(settings.series, InfluxSeries):
        files.append((("series", "token_file"), settings.series.token_file))
    mistakes = [
        document.mistake(path, f"{file} is not there", "create it, readable by this service only")
        for path, file in files
        if file is not None and not file.is_file()
    ]
    if not settings.rules.is_dir():
        mistakes.append(document.mistake(("rules",), f"{settings.rules} is not a folder"))
    if settings.database.url.startswith(_SQLITE):
        parent = Path(settings.database.url.removeprefix(_SQLITE)).parent
        if not parent.is_dir():
            mistakes.append(
                document.mistake(("database", "url"), f"the folder {parent} is not there")
            )
    return mistakes


def database_url(settings: CloudSettings) -> str:
    """Give the URL to connect to, with the password from its file.

    Raises:
        ConfigError: the password file cannot be read.
    """
    parts = settings.database
    if parts.password_file is None:
        return parts.url
    scheme, _, rest = parts.url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}://{user}:{quote(secret(parts.password_file), safe='')}{at}{host}"


def secret(file: Path) -> str:
    """Read a secret from its file, without the line end.

    Raises:
        ConfigError: the file cannot be read or is empty.
    """
    try:
        text = file.read_text(encoding="utf-8").strip("\r\n")
    except OSError as error:
        raise ConfigError([Mistake(str(file), 0, "", f"cannot be read: {error}")]) from None
    if not text:
        raise ConfigError([Mistake(str(file), 0, "", "is empty", "write the secret into it")])
    return text


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of the file, for editors and the documentation."""
    schema = CloudSettings.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
