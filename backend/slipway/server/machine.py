"""The machine as an installation's world: its own systemd is process 1, and nothing has to be entered."""

import subprocess
from pathlib import Path

from slipway.settings import Mode, Settings


class Machine:
    mode = Mode.SERVER
    units = Path("/etc/systemd/system")
    systemctl: tuple[str, ...] = ("systemctl",)

    def __init__(self, settings: Settings) -> None:
        self._own = f"slipway-{settings.id}"

    def is_running(self) -> bool:
        argv = [*self.systemctl, "--quiet", "is-active", f"{self._own}.target"]
        return subprocess.run(argv, check=False).returncode == 0

    def begin(self) -> None:
        """It runs."""

    def entering(self, argv: list[str]) -> list[str]:
        return argv

    def end(self) -> None:
        """Stop every unit of the installation and remove its files; the machine's own go on."""
        stop = [*self.systemctl, "stop", f"{self._own}.target", f"{self._own}-*", f"{self._own}.slice"]
        subprocess.run(stop, capture_output=True, check=False)
        # The slice above all of Slipway's: empty by now.
        subprocess.run([*self.systemctl, "stop", "slipway.slice"], capture_output=True, check=False)
        subprocess.run([*self.systemctl, "disable", f"{self._own}.target"], capture_output=True, check=False)
        for pattern in (f"{self._own}[.-]*", f"*.wants/{self._own}[.-]*"):
            for file in self.units.glob(pattern):
                if file.is_dir() and not file.is_symlink():
                    continue
                file.unlink()
        for folder in self.units.glob(f"{self._own}[.-]*.wants"):
            folder.rmdir()
        subprocess.run([*self.systemctl, "daemon-reload"], capture_output=True, check=False)
        subprocess.run([*self.systemctl, "reset-failed", f"{self._own}-*"], capture_output=True, check=False)
