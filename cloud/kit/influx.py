"""The door to InfluxDB 2: synchronous writes of ready lines, Flux queries answered as plain CSV.

The client's batching queue is never used: it lives in memory only and drops a whole batch on one bad line.
https://docs.influxdata.com/influxdb/v2/api/
"""

import csv
import io
from collections.abc import Iterator
from typing import Any, Final

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.dialect import Dialect
from influxdb_client.rest import ApiException
from urllib3.exceptions import HTTPError

from cloud.errors import CloudError, UnavailableError

_DIALECT: Final[Any] = Dialect
_PLAIN: Final = _DIALECT(header=True, delimiter=",", annotations=[])
_REFUSED: Final = frozenset({400, 413, 422})


class LinesRefusedError(CloudError):
    """At least one of these lines is not acceptable: halve them until it is alone, then put it aside."""


class InfluxBusyError(UnavailableError):
    """Not now; `after_s` seconds were asked for, None: the server said nothing."""

    def __init__(self, message: str, after_s: float | None) -> None:
        self.after_s = after_s
        super().__init__(message, "is InfluxDB up, and are token, organisation and bucket right?")


class Influx:
    """One bucket of one server.

    Args:
        url: `http://host:8086`.
        org: organisation.
        bucket: bucket.
        token: API token that may write and read the bucket.
        timeout_s: of one request.
    """

    def __init__(self, url: str, org: str, bucket: str, token: str, timeout_s: float = 20) -> None:
        self.bucket = bucket
        # The client is only partly typed.
        self._client: Any = InfluxDBClient(
            url=url, token=token, org=org, timeout=int(timeout_s * 1000), enable_gzip=True
        )
        self._writer: Any = self._client.write_api(write_options=SYNCHRONOUS)
        self._reader: Any = self._client.query_api()

    def write(self, lines: str) -> None:
        """Write lines of line protocol with times in ms; acknowledged when it returns.

        Raises:
            LinesRefusedError: the server finds fault with a line.
            InfluxBusyError: the server is away, busy or does not let us in.
        """
        try:
            self._writer.write(bucket=self.bucket, record=lines, write_precision="ms")
        except ApiException as error:
            if error.status in _REFUSED:
                raise LinesRefusedError(f"InfluxDB: {error.status} {error.body}") from error
            raise _busy(error) from error
        except (HTTPError, OSError) as error:
            raise InfluxBusyError(f"InfluxDB: {error}", None) from error

    def query(self, flux: str) -> list[dict[str, str]]:
        """Ask and give the rows of all results, as text by column name; `result` names the yield.

        Raises:
            InfluxBusyError: the server is away, busy or does not let us in.
        """
        try:
            answer = self._reader.query_raw(flux, dialect=_PLAIN)
            text = answer.data.decode()
        except ApiException as error:
            raise _busy(error) from error
        except (HTTPError, OSError) as error:
            raise InfluxBusyError(f"InfluxDB: {error}", None) from error
        return list(_rows(text))

    def close(self) -> None:
        """Close the connections."""
        self._writer.close()
        self._client.close()


def _busy(error: ApiException) -> InfluxBusyError:
    headers: Any = error.headers or {}
    after = str(headers.get("Retry-After", ""))
    seconds = float(after) if after.isdigit() else None
    return InfluxBusyError(f"InfluxDB: {error.status} {error.body}", seconds)


def _rows(text: str) -> Iterator[dict[str, str]]:
    header: list[str] | None = None
    for row in csv.reader(io.StringIO(text)):
        if not row:
            header = None
        elif header is None:
            header = row
        else:
            yield dict(zip(header, row, strict=False))
