"""Certificates of an authority that lives as long as a test."""

from __future__ import annotations

import subprocess
from pathlib import Path

from helpers.dicom_node import tool


def certificates(folder: Path, name: str, authority: str = "ca") -> tuple[Path, Path, Path]:
    """KEY, CERT, CA of a node that is called by 127.0.0.1; the authority is made where it is not there yet."""
    openssl = tool("openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True, timeout=60)

    def made(stem: str, *more: str) -> tuple[Path, Path]:
        key, cert = folder / f"{stem}.key", folder / f"{stem}.pem"
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        run("req", "-x509", *curve, "-subj", f"/CN={stem}", "-keyout", str(key), "-out", str(cert), *more)
        return key, cert

    ca_key, ca = folder / f"{authority}.key", folder / f"{authority}.pem"
    if not ca.exists():
        made(authority)
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")
    return *made(name, *names, "-CA", str(ca), "-CAkey", str(ca_key)), ca


def expired(cert: Path, key: Path) -> Path:
    """The certificate as it is when its time is over, beside it."""
    old = cert.with_suffix(".old.pem")
    command = [tool("openssl"), "x509", "-in", str(cert), "-signkey", str(key), "-days", "-1", "-out", str(old)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return old
