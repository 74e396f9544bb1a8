"""The variables that install and build commands see."""

import os
from collections.abc import Mapping
from pathlib import Path

_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def variables(folder: Path, cache: Path, found: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """`found` by detection, `own` are the environment's; later ones win: base, found, own."""
    return _base(folder, cache) | _trust() | _proxies() | dict(found) | dict(own)


def _base(folder: Path, cache: Path) -> dict[str, str]:
    return {
        "HOME": str(cache / "home"),
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 - the unit's own
        "XDG_CACHE_HOME": str(cache / "xdg"),
        "GIT_TERMINAL_PROMPT": "0",
        # Copies, not hard links into the cache: a later build could change the files of a live release through them.
        "UV_LINK_MODE": "copy",
        "UV_CACHE_DIR": str(cache / "uv"),
        "UV_COMPILE_BYTECODE": "1",
        "UV_PROJECT_ENVIRONMENT": str(folder / "venv"),
        "UV_PYTHON_INSTALL_DIR": str(folder / "python"),
        "UV_PYTHON_PREFERENCE": "system",
        "UV_NO_PROGRESS": "1",
        "PIP_CACHE_DIR": str(cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "npm_config_cache": str(cache / "npm"),
        "npm_config_update_notifier": "false",
        "YARN_CACHE_FOLDER": str(cache / "yarn"),
        "YARN_GLOBAL_FOLDER": str(cache / "yarn-global"),
        "YARN_ENABLE_TELEMETRY": "0",
        # Plug'n'Play refers to Yarn's own cache, which the run user cannot read.
        "YARN_NODE_LINKER": "node-modules",
        "NEXT_TELEMETRY_DISABLED": "1",
        "NUXT_TELEMETRY_DISABLED": "1",
        "ASTRO_TELEMETRY_DISABLED": "1",
    }


def _trust() -> dict[str, str]:
    """Each client brings its own list of authorities; a server's administrator adds to the system's."""
    if not _CA_BUNDLE.exists():
        return {}
    names = (
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "PIP_CERT",
        "GIT_SSL_CAINFO",
        "NODE_EXTRA_CA_CERTS",
        "npm_config_cafile",
        "YARN_HTTPS_CA_FILE_PATH",
    )
    return {name: str(_CA_BUNDLE) for name in names} | {"UV_SYSTEM_CERTS": "1"}


def _proxies() -> dict[str, str]:
    return {name: os.environ[name] for name in _PROXIES if name in os.environ}
