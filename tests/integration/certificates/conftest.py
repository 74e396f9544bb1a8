"""A box that speaks HTTPS under a base of its own, beside a certificate authority that can reach its plain port."""

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.acme import Acme
from tests.integration.conftest import Box, fresh_box, quiet_port
from tests.integration.deployments.helpers import Api, until

BASE = "slipway.test"


@dataclass(frozen=True)
class Certified:
    box: Box
    authority: Acme
    api: Api
    plain_port: int

    def certificate(self, hostname: str) -> dict[str, Any]:
        """Of one that is not listed yet: that it is wanted."""
        found = [one for one in self.api("GET", "/certificates") if one["hostname"] == hostname]
        return dict(found[0]) if found else {"hostname": hostname, "state": "wanted", "served": False}

    def until(self, hostname: str, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        until(lambda: condition(self.certificate(hostname)), f"{what}: {self.certificate(hostname)}", 90)
        return self.certificate(hostname)

    def ask(self, hostname: str, path: str = "/", *options: str) -> "subprocess.CompletedProcess[str]":
        """As somebody asks who trusts the authority and nobody else: exit status 60 where that is not enough."""
        resolve = f"{hostname}:{self.box.port}:127.0.0.1"
        argv = ["curl", "-sS", "--max-time", "10", "--cacert", str(self.authority.root), "--resolve", resolve]
        address = f"https://{hostname}:{self.box.port}{path}"
        return subprocess.run([*argv, *options, address], capture_output=True, text=True, check=False)


def change_settings(box: Box, **changes: object) -> None:
    """Lines of the settings file, by their names."""
    file = box.state / "etc/slipway/slipway.toml"
    text = file.read_text()
    for name, value in changes.items():
        shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
        text, found = re.subn(rf"^{name} = .*$", f"{name} = {shown}", text, flags=re.MULTILINE)
        if not found:
            text = text.replace("[http]\n", f"[http]\n{name} = {shown}\n")
    file.write_text(text)


@pytest.fixture(scope="module")
def certified() -> Iterator[Certified]:
    box, plain = fresh_box(), quiet_port()
    authority = Acme([quiet_port() for _ in range(4)], http_port=plain)
    try:
        box.up("--tls")
        box.slipway("down")
        change_settings(
            box, plain_port=plain, base_domain=BASE, panel=BASE,
            acme_server=authority.url, trusted=str(authority.trusted), retry_seconds=1,
        )  # fmt: skip
        (box.state / "etc/slipway/tls/certificate.pem").unlink()  # another panel's name
        authority.start()
        box.up()
        api = Api(box)
        yield Certified(box, authority, api, plain)
        api.close()
    finally:
        box.end()
        authority.end()
