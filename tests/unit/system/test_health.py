"""What is said of a part that does not answer."""

from slipway.db import Database
from slipway.host.client import Host
from slipway.settings import Http, Installation, Mode, Settings
from slipway.system.health import ask_all


async def test_on_a_server_each_part_that_does_not_answer_names_the_unit_to_start() -> None:
    settings = Settings(Installation("ab12", Mode.SERVER), Http(port=8080), prefix="/nonexistent")
    database = Database("postgresql:///nothing?host=/nonexistent")
    parts = {part.name: part for part in await ask_all(database, Host(settings.paths.host_socket), settings)}
    start = "`systemctl start slipway-ab12.target` starts what is stopped. Why it stopped: `journalctl -u slipway-ab12-"
    assert {name: (part.ok, part.todo) for name, part in parts.items()} == {
        "database": (False, f"{start}postgresql`."),
        "host agent": (False, f"{start}host`."),
        "nginx": (False, f"{start}nginx`."),
    }
    assert "what runs goes on running" in parts["host agent"].detail
    assert parts["nginx"].detail.startswith("It does not answer (No such file or directory).")
