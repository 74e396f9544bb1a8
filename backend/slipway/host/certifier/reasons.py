"""From certbot's words, and the authority's in them, to a sentence that says what happened and what to do."""

import re
from datetime import UTC, datetime

from slipway import clock

TOO_SLOW = "slipway: it took too long"
ACCOUNT_UNKNOWN = "accountDoesNotExist"
LIMITED_SECONDS = 12 * 3600
"""How long an authority that says "too many" and not until when is left alone."""
LONGEST_WAIT_SECONDS = 8 * 86400
"""The longest limit of Let's Encrypt is of seven days."""
MAX_DETAIL = 400

_PROBLEM = re.compile(r"^\s*Type:\s+(\S+)\s*\n\s*Detail:\s+(.+)$", re.MULTILINE)
_RETRY_AFTER = re.compile(r"retry after (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:Z| UTC)?", re.IGNORECASE)
_RESOLVE = re.compile(r"could not resolve|nxdomain|servfail|no valid a(aaa)? records|dns problem", re.IGNORECASE)

_WHOLE = (
    (r"rateLimited|too many ", "The authority gives {host} no certificate now: too many were asked for lately."),
    (
        r"NameResolutionError|Failed to resolve",
        "The name of the certificate authority ({server}) cannot be resolved. Check this server's name servers.",
    ),
    (
        r"SSLError|CERTIFICATE_VERIFY_FAILED",
        "The certificate authority ({server}) cannot be trusted: its own certificate is not from an authority that "
        "this server knows. Add that one to the server's, or name its file in the settings (certificates.trusted).",
    ),
    (
        r"ConnectionError|ConnectTimeout|ReadTimeout|Max retries exceeded|Connection aborted",
        "The certificate authority ({server}) cannot be reached from this server.",
    ),
    (TOO_SLOW, "The certificate authority ({server}) did not come to an end in time."),
    (
        r"invalidContact|unsupportedContact|invalid email",
        "The authority does not take the e-mail address. Correct it in the settings (certificates.email).",
    ),
    (r"externalAccountRequired", "The authority wants an account that was made elsewhere, which Slipway cannot give."),
    (r"rejectedIdentifier", "The authority does not give out certificates for {host}: it does not take this name."),
    (r"No space left|Disk quota exceeded", "The server's disk is full, so no certificate could be asked for."),
    (r"serverInternal|HTTP 50\d|status code 50\d", "The certificate authority ({server}) has a fault of its own."),
)


def reason(words: str, host: str, server: str) -> str:
    """A sentence for what was said; certbot's own last words where nothing better is known."""
    found = _PROBLEM.search(words)
    if found:
        detail = found[2].strip()[:MAX_DETAIL]
        return f"{_of_challenge(found[1], detail, host)} The authority said: {detail}"
    for pattern, sentence in _WHOLE:
        if re.search(pattern, words):
            return sentence.format(host=host, server=server)
    return f"certbot could not obtain a certificate for {host}: {_last_words(words)}"


def wait_seconds(words: str) -> int:
    """For how long the authority wants to be left alone; 0: it said nothing of that."""
    if not re.search(_WHOLE[0][0], words):
        return 0
    until = _RETRY_AFTER.search(words)
    if until is None:
        return LIMITED_SECONDS
    moment = datetime.fromisoformat(until[1]).replace(tzinfo=UTC)
    return max(0, min(int((moment - clock.now()).total_seconds()) + 1, LONGEST_WAIT_SECONDS))


def _of_challenge(kind: str, detail: str, host: str) -> str:
    if kind == "dns" or _RESOLVE.search(detail):
        return f"The name {host} cannot be resolved from outside. Let it point to this server's address."
    if kind == "connection":
        return (
            f"Port 80 of {host} cannot be reached from outside. Open it in the firewall or at the provider, and let "
            "the name point to this server."
        )
    if kind == "unauthorized":
        return (
            f"Under {host} the authority found another server than this one. Let the name point to this server's "
            "address, with no proxy in between that answers for it."
        )
    if kind == "caa":
        return f"A CAA record of {host} forbids this authority to give it a certificate. Add the authority to it."
    return f"The authority could not make sure that {host} is this server."


def _last_words(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if " " in line.strip()]
    said = [line for line in lines if not line.startswith(("Ask for help", "Saving debug log", "Hint:", "See the log"))]
    return said[-1][:MAX_DETAIL] if said else "it said nothing"
