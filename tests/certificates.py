"""Certificates of a test's own, made with the openssl program: an authority, a stranger, a broker, a client."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.mosquitto import find

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_HERE = "IP:127.0.0.1,DNS:localhost"


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, PEM."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """Who is who: `foreign` is an authority that nobody here trusts."""

    ca: Path
    server: Signed
    foreign_server: Signed
    misnamed_server: Signed
    client: Signed
    foreign_client: Signed


def _openssl(folder: Path, *arguments: str) -> None:
    command = [find("openssl"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def _authority(folder: Path, name: str) -> Signed:
    made = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl(
        folder, "req", "-x509", *_KEY, "-keyout", made.key.name, "-out", made.cert.name,
        "-days", "2", "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    return made


def _sign(folder: Path, name: str, alternative: str, by: Signed) -> Signed:
    made = Signed(folder / f"{name}.pem", folder / f"{name}.key")
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={alternative}\nbasicConstraints=CA:FALSE\n")
    _openssl(
        folder, "req", *_KEY, "-keyout", made.key.name, "-out", request.name, "-subj", f"/CN={name}"
    )
    _openssl(
        folder, "x509", "-req", "-in", request.name, "-CA", by.cert.name, "-CAkey", by.key.name,
        "-CAcreateserial", "-days", "2", "-extfile", extensions.name, "-out", made.cert.name,
    )  # fmt: skip
    return made


def make(folder: Path) -> Certificates:
    """Make them all; the broker's are for 127.0.0.1 and localhost, except the misnamed one."""
    ours, foreign = _authority(folder, "ours"), _authority(folder, "foreign")
    return Certificates(
        ca=ours.cert,
        server=_sign(folder, "server", _HERE, ours),
        foreign_server=_sign(folder, "foreign-server", _HERE, foreign),
        misnamed_server=_sign(folder, "misnamed-server", "DNS:elsewhere.example.cn", ours),
        client=_sign(folder, "client", "DNS:client", ours),
        foreign_client=_sign(folder, "foreign-client", "DNS:client", foreign),
    )


def listener(certificates: Certificates, server: Signed) -> list[str]:
    """Give the lines with which mosquitto shows `server` and asks every client for a certificate of ours."""
    return [
        f"cafile {certificates.ca}",
        f"certfile {server.cert}",
        f"keyfile {server.key}",
        "require_certificate true",
    ]
