"""A server that speaks TLS, or says that it does not, in front of one that does not."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import asyncpg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["Authority", "TlsProxy", "tls_proxy"]

_ASK_FOR_TLS: Final = 80877103
_YEAR: Final = datetime.timedelta(days=365)


class Authority:
    """Makes certificates, and keeps what it makes in files of a directory."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = self._write(f"{name}.crt", self._certify(self._name, self._key, {}))

    def certificate(self, name: str, *addresses: str) -> tuple[Path, Path]:
        """A certificate for a name and addresses; gives the files of it and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        made = self._certify(subject, key, {"names": names})
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return self._write(f"{name}.crt", made), self._write(f"{name}.key", private)

    def _certify(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        more: dict[str, list[x509.IPAddress]],
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        is_authority = subject == self._name
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _YEAR)
            .not_valid_after(now + _YEAR)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if more.get("names"):
            builder = builder.add_extension(x509.SubjectAlternativeName(more["names"]), False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, content: bytes) -> Path:
        file = self._directory / name
        file.write_bytes(content)
        file.chmod(0o600)
        return file


@dataclass
class TlsProxy:
    """What stands in front of a server.

    Attributes:
        dsn: The database, reached through it.
        context: How it speaks TLS; None: it does not.
        takes: Which logins it takes: "plain" ones, those by "tls".
        asked: How often it was asked for TLS.
        logins: For each login whether it was by TLS.
    """

    dsn: str
    context: ssl.SSLContext | None
    takes: tuple[str, ...]
    asked: int = 0
    logins: list[bool] = field(default_factory=list)


@contextlib.asynccontextmanager
async def tls_proxy(
    dsn: str, context: ssl.SSLContext | None, *, takes: tuple[str, ...] = ("plain", "tls")
) -> AsyncIterator[TlsProxy]:
    """Pass on what clients say, by TLS or without, on a port of 127.0.0.1."""
    probe = await asyncpg.connect(dsn)
    address = probe._addr
    await probe.close()
    proxy = TlsProxy("", context, takes)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begin = await reader.readexactly(8)
        by_tls = False
        if struct.unpack("!ii", begin)[1] == _ASK_FOR_TLS:
            proxy.asked += 1
            writer.write(b"N" if proxy.context is None else b"S")
            if proxy.context is not None:
                await writer.start_tls(proxy.context)
                by_tls = True
            begin = await reader.readexactly(8)
        proxy.logins.append(by_tls)
        if ("tls" if by_tls else "plain") not in proxy.takes:
            await reader.read(65536)  # the rest of the login: what is unread cuts off the answer
            fields = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for this\0\0"
            writer.write(b"E" + struct.pack("!i", 4 + len(fields)) + fields)
            await writer.drain()
            return
        if isinstance(address, str):
            behind = await asyncio.open_unix_connection(address)
        else:
            behind = await asyncio.open_connection(*address)
        behind[1].write(begin)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pump(reader, behind[1]))
                tasks.create_task(_pump(behind[0], writer))
        finally:
            behind[1].transport.abort()

    served: set[asyncio.Task[None]] = set()

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            writer.transport.abort()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.create_task(serve_and_close(reader, writer)))

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        parts = urlsplit(dsn)
        port = server.sockets[0].getsockname()[1]
        proxy.dsn = f"postgresql://{parts.username or 'postgres'}@127.0.0.1:{port}{parts.path}"
        try:
            yield proxy
        finally:
            _, left = await asyncio.wait(served, timeout=2) if served else (set(), set())
            for task in left:
                task.cancel()
            await asyncio.gather(*served, return_exceptions=True)
            await asyncio.sleep(0)  # transports that were cut close now


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
