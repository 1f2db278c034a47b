"""Origins of settings: argument, environment variable, file or default.

A configuration contains values, not their origins. A value that equals that of its variable is attributed to the
variable, because removing the variable or the argument alone would not change it.
"""

import os
from urllib.parse import SplitResult

from xpander_sdk.settings.base_url import parse_base_url
from xpander_sdk.settings.configuration import Configuration, KeyFile
from xpander_sdk.settings.outbox import parse_outbox

ARGUMENT = "argument"
NOT_SET = "not set"


def _variable(name: str) -> str:
    return f"environment variable {name}"


def base_url_source(configuration: Configuration) -> str:
    """Return the origin of the URL of the backend."""
    try:
        is_argument = parse_base_url(None) != configuration.base_url
    except ValueError:  # the variable is invalid, so that the configuration does not use it
        is_argument = True
    if is_argument:
        return ARGUMENT
    if "XPANDER_BASE_URL" in os.environ:
        return _variable("XPANDER_BASE_URL")
    return _variable("IS_STG") if os.environ.get("IS_STG") == "true" else "default"


def api_key_source(configuration: Configuration) -> str:
    """Return the origin of the API key."""
    key = configuration.api_key
    if key is None:
        return NOT_SET
    if isinstance(key, KeyFile):
        is_variable = key.path == os.environ.get("XPANDER_API_KEY_FILE")
        return f"file {key.path!r} ({_variable('XPANDER_API_KEY_FILE') if is_variable else ARGUMENT})"
    if callable(key):
        return f"callable ({ARGUMENT})"
    return _variable("XPANDER_API_KEY") if key == os.environ.get("XPANDER_API_KEY") else ARGUMENT


def organization_id_source(configuration: Configuration) -> str:
    """Return the origin of the organization."""
    return _text_source(configuration.organization_id, "XPANDER_ORGANIZATION_ID")


def agent_id_source(configuration: Configuration, agent_id: str | None) -> str:
    """Return the origin of the agent; `agent_id` is the agent that the caller has named."""
    if agent_id is not None or configuration.agent_id is not None:
        return ARGUMENT
    return _variable("XPANDER_AGENT_ID") if os.environ.get("XPANDER_AGENT_ID") else NOT_SET


def outbox_source(configuration: Configuration) -> str:
    """Return the origin of the outbox."""
    if configuration.outbox is None:
        return NOT_SET
    is_variable = "XPANDER_OUTBOX" in os.environ and configuration.outbox == parse_outbox(None)
    return _variable("XPANDER_OUTBOX") if is_variable else ARGUMENT


def proxy_source(configuration: Configuration, url: SplitResult, proxy: str | None) -> str:
    """Return the origin of the proxy for requests to `url`."""
    if proxy is None:
        return NOT_SET
    if configuration.transport.proxy is not None:
        return ARGUMENT
    names = [f"{url.scheme}_proxy", f"{url.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    variable = next((name for name in names if os.environ.get(name)), None)
    return "settings of this system" if variable is None else _variable(variable)


def _text_source(value: str | None, variable: str) -> str:
    if value is None:
        return NOT_SET
    return _variable(variable) if value == os.environ.get(variable) else ARGUMENT
