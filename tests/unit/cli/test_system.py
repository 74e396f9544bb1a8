"""What `slipway status` says of the operating system."""

from slipway.cli.system import needs

UPDATE = {"package": "libssl3", "version": "2", "installed": "1", "security": True}


def system(**fields: object) -> dict[str, object]:
    nothing = {"is_server": True, "reboot_needed": False, "reboot_for": [], "pending": None}
    return nothing | fields


def pending(*updates: dict[str, object], problem: str | None = None) -> dict[str, object]:
    return {"looked_at": "2026-03-01T12:00:00Z", "updates": list(updates), "problem": problem}


def test_nothing_is_said_where_nothing_waits() -> None:
    assert list(needs(None)) == []
    assert list(needs(system())) == []
    assert list(needs(system(pending=pending()))) == []
    assert list(needs(system(is_server=False, reboot_needed=True))) == []


def test_updates_a_failed_look_and_a_reboot_are_said() -> None:
    found = system(
        pending=pending(UPDATE, UPDATE | {"security": False}, problem="no route\x1b[2J"),
        reboot_needed=True,
        reboot_for=["linux-image-amd64"],
    )
    updates, problem, reboot = needs(found)
    assert updates.startswith("2 updates of the operating system")
    assert "1 of them for security" in updates
    assert "no route" in problem
    assert "\x1b" not in problem
    assert "(linux-image-amd64)" in reboot
