"""TLS context: certificate authorities to trust, and the client's own certificate."""

import os
import ssl

from xpander_sdk import _fork
from xpander_sdk.settings.transport import TransportSettings


def build_ssl_context(settings: TransportSettings) -> ssl.SSLContext:
    """Return the context of the settings, or a new one. A new one takes tens of milliseconds."""
    if settings.ssl_context is not None:
        return settings.ssl_context
    context = ssl.create_default_context(cafile=settings.ca_bundle or os.environ.get("SSL_CERT_FILE") or _certifi())
    if settings.client_certificate is not None:
        context.load_cert_chain(*settings.client_certificate)
    return context


def _certifi() -> str:
    with _fork.import_lock:
        import certifi

    return certifi.where()
