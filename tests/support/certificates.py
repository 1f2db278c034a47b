"""Self-signed TLS certificates."""

import ssl
import subprocess
from pathlib import Path

from attrs import field, frozen


@frozen
class Certificate:
    """Files of a self-signed certificate and its private key, in PEM format."""

    path: str
    key: str = field(repr=False)

    @property
    def server_context(self) -> ssl.SSLContext:
        """A new TLS context for a server that presents this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key)
        return context


def create_certificate(names: str, folder: Path) -> Certificate:
    """Create a certificate in a folder. No key is kept in the repository, because somebody might trust it.

    Args:
        names: subject alternative names, as openssl takes them: `DNS:localhost,IP:127.0.0.1`.
        folder: folder for the two files.
    """
    certificate = Certificate(str(folder / "certificate.pem"), str(folder / "key.pem"))
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=of a test", "-addext", f"subjectAltName={names}",
        "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
        "-out", certificate.path, "-keyout", certificate.key,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return certificate
