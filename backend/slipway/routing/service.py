"""Where an environment is reached, and which slots it has."""

from slipway.apps.models import App, Environment
from slipway.db import Database
from slipway.routing import store
from slipway.routing.models import Slot
from slipway.settings import Settings


class Routing:
    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings

    async def list_slots(self, environment: Environment) -> list[Slot]:
        async with self._db.connection() as connection:
            return await store.list_slots(connection, environment.id)

    def hostname(self, app: App, environment: Environment) -> str:
        return self._settings.app_hostname(app.name, environment.name)

    def url(self, app: App, environment: Environment) -> str:
        return self._settings.url(self.hostname(app, environment))
