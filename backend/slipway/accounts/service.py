"""Making accounts, signing in and out, API tokens."""

from datetime import timedelta

from slipway import clock, ids
from slipway.accounts import store
from slipway.accounts.models import Account, Token, check_email, check_name, check_password
from slipway.accounts.passwords import Passwords
from slipway.db import Connection, Database
from slipway.errors import Conflict, Invalid, NotFound, TooManyRequests, Unauthenticated
from slipway.events.models import Actor
from slipway.events.service import Events
from slipway.web.sessions import SESSION_SECONDS

SETUP_LINK_LIFE = timedelta(hours=24)
SESSION_LIFE = timedelta(seconds=SESSION_SECONDS)
TOUCH_AFTER = timedelta(minutes=5)
"""A session's use is written down this often at most."""
SIGNED_IN = "account.signed-in"
TOKEN_PREFIX = "slw_"  # noqa: S105 - the beginning of every token, so that scanners know one when they see it
FAILURE_WINDOW = timedelta(minutes=15)
FAILURES_FROM_ADDRESS = 10
"""Of one account from one address: whoever guesses from there locks out nobody elsewhere."""
FAILURES_PER_ADDRESS = 30
FAILURES_PER_EMAIL = 100
"""Of one account from all addresses but those that it signed in from: however many addresses a guesser has, they do
not lock out the owner where he is known."""
FAMILIAR = timedelta(days=90)


class Accounts:
    """Accounts, sessions and tokens. What a person may do is decided above, by teams."""

    def __init__(self, db: Database, events: Events) -> None:
        self._db = db
        self._events = events
        self._passwords = Passwords()

    # ---- the first account, and the way back in

    async def make_setup_link(self) -> str:
        """A new one-time secret, good for a day; every earlier one is void. It ends up in `<panel>/setup/<secret>`."""
        token = ids.new_token()
        async with self._db.transaction() as connection:
            await store.replace_setup_links(connection, ids.token_hash(token), clock.now() + SETUP_LINK_LIFE)
        return token

    async def is_setup_link_open(self, token: str) -> bool:
        async with self._db.connection() as connection:
            return await store.is_setup_link_open(connection, ids.token_hash(token))

    async def has_accounts(self) -> bool:
        async with self._db.connection() as connection:
            return await store.has_accounts(connection)

    async def hash_new_password(self, password: str) -> str:
        """Check and hash; slow on purpose, so done before a transaction is opened."""
        return await self._passwords.hash(check_password(password))

    async def use_setup_link(
        self, connection: Connection, token: str, email: str, name: str, password_hash: str
    ) -> Account:
        """Make the link's account. If the e-mail address has one already, it gets this password and its sessions end:
        the link comes from root of the machine, and is the way back in."""
        if not await store.use_setup_link(connection, ids.token_hash(token)):
            raise NotFound(SETUP_LINK_OVER)
        known = await store.find_account_by_email(connection, email)
        if known is None:
            account = await store.insert_account(connection, email, name, password_hash)
        else:
            account = known[0]
            await store.put_password(connection, account.id, password_hash)
            await store.delete_other_sessions(connection, account.id, b"")
        await store.drop_failures(connection, _email_subject(email))
        kind = "account.created" if known is None else "account.recovered"
        await self._events.record(connection, kind, Actor("account", account.id), email=account.email)
        return account

    # ---- sessions

    async def sign_in(self, email: str, password: str, address: str) -> tuple[Account, str]:
        """→ (account, the new session's token). Raises Unauthenticated, or TooManyRequests after too many failures.

        An attempt counts as failed before the password is looked at, so that many at once count too.
        """
        email = email.strip()[:300]
        async with self._db.connection() as connection:
            known = await store.find_account_by_email(connection, email) if email.isprintable() else None
            familiar = known is not None and await self._events.was_recorded(
                connection, SIGNED_IN, Actor("account", known[0].id), address, FAMILIAR
            )
        # The address first: what it may not try must neither count against an account nor fill the table.
        subjects = {f"address:{address}": FAILURES_PER_ADDRESS, _pair_subject(email, address): FAILURES_FROM_ADDRESS}
        if not familiar:
            subjects[_email_subject(email)] = FAILURES_PER_EMAIL
        for subject, most in subjects.items():
            await self._count_attempt(subject, most)
        if not await self._passwords.matches(password, known[1] if known else None) or known is None:
            raise SignInRefused(SIGN_IN_REFUSED, field="password")
        account = known[0]
        async with self._db.transaction() as connection:
            await store.drop_failures(connection, _email_subject(email))
            await store.drop_failures(connection, _pair_subject(email, address))
            await store.drop_failure(connection, f"address:{address}")
            await self._events.record(connection, SIGNED_IN, Actor("account", account.id), address=address)
        return account, await self.open_session(account.id)

    async def open_session(self, account_id: int) -> str:
        """A new session; always a new token, so that one planted before signing in is worth nothing."""
        token = ids.new_token()
        async with self._db.transaction() as connection:
            await store.insert_session(connection, ids.token_hash(token), account_id, clock.now() + SESSION_LIFE)
        return token

    async def find_session(self, connection: Connection, token: str) -> Account | None:
        """Whose session it is; using it makes it last longer."""
        token_hash = ids.token_hash(token)
        found = await store.find_session_account(connection, token_hash)
        if found is None:
            return None
        account, last_seen_at = found
        if clock.now() - last_seen_at > TOUCH_AFTER:
            await store.touch_session(connection, token_hash, clock.now() + SESSION_LIFE)
        return account

    async def sign_out(self, token: str) -> None:
        async with self._db.connection() as connection:
            await store.delete_session(connection, ids.token_hash(token))

    async def change_password(self, account_id: int, session: str, old: str, new: str) -> None:
        """Every other session of the account ends."""
        async with self._db.connection() as connection:
            account = await store.get_account(connection, account_id)
        guessing = f"session:{account.id}"
        await self._count_attempt(guessing, FAILURES_FROM_ADDRESS)
        async with self._db.connection() as connection:
            known = await store.find_account_by_email(connection, account.email)
        if known is None or not await self._passwords.matches(old, known[1]):
            raise Invalid("The old password is wrong.", field="old_password")
        password_hash = await self.hash_new_password(new)
        async with self._db.transaction() as connection:
            await store.put_password(connection, account_id, password_hash)
            await store.delete_other_sessions(connection, account_id, ids.token_hash(session))
            await store.drop_failures(connection, _email_subject(account.email))
            await store.drop_failures(connection, guessing)
            await self._events.record(connection, "account.password-changed", Actor("account", account_id))

    # ---- API tokens

    async def create_token(self, actor: Actor, account_id: int, name: str) -> tuple[Token, str]:
        """→ (the token, its secret, shown this once)."""
        name = check_name(name)
        secret = ids.new_token(TOKEN_PREFIX)
        async with self._db.transaction() as connection:
            token = await store.insert_token(connection, account_id, name, ids.token_hash(secret))
            await self._events.record(connection, "token.created", actor, name=name, token=token.id)
        return token, secret

    async def account_for_operator(self, email: str | None) -> Account:
        """Whose token the operator makes: the account with this e-mail address, or the only one there is."""
        async with self._db.connection() as connection:
            if email is not None:
                found = await store.find_account_by_email(connection, email)
                if found is None:
                    raise NotFound(f"There is no account with the e-mail address {email}.")
                return found[0]
            accounts = await store.list_accounts(connection, 2)
        if not accounts:
            raise Conflict("There is no account yet. Open the link that `slipway setup-link` prints, then try again.")
        if len(accounts) > 1:
            raise Invalid("There are several accounts: say whose token it is to be (--email).", field="email")
        return accounts[0]

    async def list_tokens(self, account_id: int) -> list[Token]:
        async with self._db.connection() as connection:
            return await store.list_tokens(connection, account_id)

    async def delete_token(self, actor: Actor, account_id: int, token_id: int) -> None:
        async with self._db.transaction() as connection:
            name = await store.delete_token(connection, account_id, token_id)
            if name is None:
                raise NotFound("You have no such token.")
            await self._events.record(connection, "token.deleted", actor, name=name, token=token_id)

    async def find_token(self, connection: Connection, secret: str) -> Account | None:
        return await store.find_token_account(connection, ids.token_hash(secret))

    async def get_account(self, account_id: int) -> Account:
        async with self._db.connection() as connection:
            return await store.get_account(connection, account_id)

    async def _count_attempt(self, subject: str, most: int) -> None:
        async with self._db.transaction() as connection:
            number, wait = await store.count_failure(connection, subject, FAILURE_WINDOW)
            if number > most:
                await store.drop_failure(connection, subject)
        if number > most:
            minutes = max(1, round(wait / 60))
            raise TooManyRequests(
                f"Too many failed attempts. Wait {minutes} minute{'' if minutes == 1 else 's'}, then try again.",
                retry_after=wait,
            )


class SignInRefused(Unauthenticated):
    """E-mail address and password do not belong together; which of them is wrong is not told."""

    code = "sign-in-refused"
    status = 422


SIGN_IN_REFUSED = "This e-mail address and password do not belong together. Check both and try again."
SETUP_LINK_OVER = (
    "This setup link was used, replaced or is older than a day. For a new one, run `slipway setup-link` on the server."
)


def _email_subject(email: str) -> str:
    return f"email:{email.lower()}"


def _pair_subject(email: str, address: str) -> str:
    return f"email:{email.lower()} from {address}"


__all__ = ["Accounts", "SignInRefused", "check_email", "check_name"]
