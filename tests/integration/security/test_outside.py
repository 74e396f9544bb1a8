"""What strangers send from outside, over TLS, through nginx as it stands on a server."""

import contextlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.integration.conftest import Box, run, running_box

PASSWORD = "correct horse battery staple"
PERSON = {"name": "Ann", "email": "ann@example.org", "password": PASSWORD}
SLOW_CLIENTS = 300
HEADER_SECONDS = 10
"""nginx's client_header_timeout."""
SECURITY = ("content-security-policy", "x-content-type-options", "x-frame-options")
TRICKS = (
    "/../../../../etc/passwd", "/..%2f..%2f..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/..%5c..%5cetc%5cpasswd", "/.%00./etc/passwd", "/index.html%00.jpg", "//etc/passwd", "/./.././etc/passwd",
    "/..;/..;/etc/passwd", "/%c0%ae%c0%ae/etc/passwd", "/etc/passwd", "/file-link", "/folder-link/passwd",
    "/folder-link/", "/inner/../../folder-link/passwd", "/.git/config", "/.hidden", "/.%2e/.%2e/etc/passwd",
)  # fmt: skip


@pytest.fixture(scope="module")
def tls_box() -> Iterator[Box]:
    with running_box("--tls") as one:
        yield one


@pytest.fixture(scope="module")
def link(tls_box: Box) -> str:
    """The set-up link, after twenty used it at the same time."""
    path = setup_path(tls_box)
    start = threading.Barrier(20)

    def use(number: int) -> int:
        with tls_box.browser() as one:
            start.wait()
            return one.post(path, data=PERSON | {"email": f"racer-{number}@example.org"}).status_code

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(use, range(20)))
    assert sorted(answers) == [303] + [404] * 19
    return path


@pytest.fixture(scope="module")
def account(tls_box: Box, link: str) -> dict[str, str]:
    """Who has an account by now, and the password."""
    with tls_box.browser() as one:
        assert one.post(setup_path(tls_box), data=PERSON).status_code == 303
    return {"email": PERSON["email"], "password": PASSWORD}


@pytest.fixture(scope="module")
def site(tls_box: Box) -> Iterator[str]:
    """A static site with links that lead out of it; → its host name."""
    folder = Path(tempfile.mkdtemp(prefix="site-", dir="/var/tmp"))
    folder.chmod(0o755)
    (folder / "inner").mkdir()
    for name in ("index.html", "inner/index.html"):
        (folder / name).write_text("<title>served</title>")
    (folder / ".hidden").write_text("root:hidden")
    (folder / "file-link").symlink_to("/etc/passwd")
    (folder / "folder-link").symlink_to("/etc")
    git = ("git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@b")
    for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "First")):
        run(*git, *arguments)
    tls_box.json("apps", "create", "site", "--repo", tls_box.repository(folder))
    ended = tls_box.slipway("deploy", "site", "--wait")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    yield f"site.{tls_box.panel}"
    shutil.rmtree(folder)


def setup_path(box: Box) -> str:
    """A new set-up link's."""
    found = re.search(r"https://[^/]+(/\S+)", box.slipway("setup-link").stdout)
    assert found is not None
    return found[1]


def tls(box: Box, host: str = "") -> ssl.SSLSocket:
    """A connection to nginx; without a host, to the panel."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection((box.address, box.port), timeout=30)
    return context.wrap_socket(plain, server_hostname=host or box.panel)


def raw(box: Box, request: str | bytes, host: str = "") -> tuple[int, dict[str, str], bytes]:
    """Exactly these bytes; → (status, headers, body). Status 0 where the connection was closed without an answer."""
    with tls(box, host) as connection:
        send(connection, request.encode("latin-1") if isinstance(request, str) else request)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except (ConnectionResetError, ssl.SSLError):
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        return 0, {}, b""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, body


def get(box: Box, path: str, host: str = "", more: str = "") -> tuple[int, dict[str, str], bytes]:
    name = f"{host or box.panel}:{box.port}"
    return raw(box, f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n{more}\r\n", host)


# ---- the first account, and guessing


def test_of_twenty_who_use_the_setup_link_at_once_one_gets_the_account_and_nobody_after(
    tls_box: Box, link: str
) -> None:
    with tls_box.browser() as one:
        assert one.get(link).status_code == 404
        assert one.post(link, data=PERSON).status_code == 404


def test_a_session_that_was_planted_is_worth_nothing_after_signing_in(tls_box: Box, account: dict[str, str]) -> None:
    planted = "x" * 43
    with tls_box.browser() as one:
        one.cookies.set("__Host-slipway", planted)
        answer = one.post("/sign-in", data=account)
        assert answer.status_code == 303
        (cookie,) = answer.headers.get_list("set-cookie")
        name, _, rest = cookie.partition("=")
        assert name == "__Host-slipway"
        assert not rest.startswith(planted)
        flags = {flag.strip().lower() for flag in rest.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= flags
        assert not any(flag.startswith("domain") for flag in flags)
        assert get(tls_box, "/api/account", more=f"Cookie: __Host-slipway={planted}\r\n")[0] == 401


@pytest.mark.parametrize(
    "target",
    ["//evil.example/", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
     "javascript:alert(1)", "/%0d%0aLocation:%20https://evil.example", "https:evil.example", "/\r\nX: y", " /x", ""],
)  # fmt: skip
def test_after_signing_in_nobody_is_led_elsewhere(tls_box: Box, account: dict[str, str], target: str) -> None:
    with tls_box.browser() as one:
        page = one.get("/sign-in", params={"next": target})
        assert 'value="https:' not in page.text
        assert 'value="//' not in page.text
        led = one.post("/sign-in", data=account | {"next": target})
        assert led.status_code == 303
        location = led.headers["location"]
        assert re.match(r"/(?![/\\])", location), location
        assert "x" not in {name.lower() for name in led.headers}


# ---- requests that are none


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Content-Length: 0x5\r\n",
        "Bad\0Header: x\r\n",
    ],
)
@pytest.mark.parametrize("whose", ["the panel's", "a site's"])
def test_a_request_whose_end_is_in_doubt_is_refused_and_nothing_behind_it_is_read(
    tls_box: Box, site: str, head: str, whose: str
) -> None:
    host = tls_box.panel if whose == "the panel's" else site
    smuggled = f"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {host}:{tls_box.port}\r\nConnection: close\r\n\r\n"
    request = f"POST / HTTP/1.1\r\nHost: {host}:{tls_box.port}\r\n{head}\r\n{smuggled}"
    status, _, body = raw(tls_box, request, host)
    assert status in (400, 405, 411, 501), body[:200]
    assert body.count(b"HTTP/1.1 ") == 0, "a second request was read out of it"


def test_huge_heads_and_bodies_are_refused_and_never_an_error_of_slipways(tls_box: Box, site: str) -> None:
    for host in (tls_box.panel, site):
        for more in ("X-Long: " + "x" * 20_000 + "\r\n", "".join(f"X-{n}: {'x' * 900}\r\n" for n in range(200))):
            assert get(tls_box, "/", host, more)[0] in (400, 431)
        assert get(tls_box, "/" + "x" * 20_000, host)[0] == 414
    for host, path, size in ((tls_box.panel, "/sign-in", 13_000_000), (site, "/", 200_000_000)):
        head = f"POST {path} HTTP/1.1\r\nHost: {host}:{tls_box.port}\r\nContent-Length: {size}\r\n\r\n"
        assert raw(tls_box, head, host)[0] == 413, "refused by its length alone"
    with tls_box.browser() as one:
        assert one.post("/sign-in", data={"email": "x" * 2_000_000}).status_code == 413


def test_names_that_are_forged_reach_nothing_and_are_repeated_nowhere(tls_box: Box, account: dict[str, str]) -> None:
    assert get(tls_box, "/sign-in", "evil.example")[0] == 0
    forged = "".join(
        f"{name}: evil.example\r\n" for name in ("X-Forwarded-Host", "X-Host", "X-Original-URL", "X-Rewrite-URL")
    )
    forged += "Forwarded: host=evil.example;proto=http\r\nX-Forwarded-Proto: http\r\nX-Forwarded-For: 127.0.0.1\r\n"
    for path in ("/", "/sign-in", "/api/status", "/account"):
        status, headers, body = get(tls_box, path, more=forged)
        assert status in (200, 303, 401), path
        assert "evil" not in str(headers) + body.decode(), path


# ---- what answers carry


def test_every_answer_has_the_security_headers_and_allows_no_other_origin(tls_box: Box) -> None:
    origin = "Origin: https://evil.example\r\n"
    asked = {path: get(tls_box, path, more=origin) for path in ("/", "/sign-in", "/nothing", "/api/apps", "/api/docs")}
    asked["a preflight"] = raw(
        tls_box,
        f"OPTIONS /api/apps HTTP/1.1\r\nHost: {tls_box.panel}:{tls_box.port}\r\nConnection: close\r\n{origin}"
        "Access-Control-Request-Method: DELETE\r\n\r\n",
    )
    asked["a wrong method"] = raw(
        tls_box, f"BREW / HTTP/1.1\r\nHost: {tls_box.panel}:{tls_box.port}\r\nConnection: close\r\n\r\n"
    )
    asked["nginx's own"] = get(tls_box, "/" + "x" * 14_000, more="X: y\r\n" + "".join("X: " + "y" * 15_000 + "\r\n"))
    head = f"POST / HTTP/1.1\r\nHost: {tls_box.panel}:{tls_box.port}\r\nContent-Length: 13000000\r\n\r\n"
    asked["nginx's word on a large body"] = raw(tls_box, head)
    for what, (status, headers, _) in asked.items():
        assert status, what
        assert {name for name in SECURITY if name not in headers} == set(), (what, status)
        assert not [name for name in headers if name.startswith("access-control-")], what
        assert headers.get("server", "nginx") == "nginx", what


@pytest.mark.parametrize("path", TRICKS)
def test_no_path_leads_out_of_a_static_site(tls_box: Box, site: str, path: str) -> None:
    assert b"served" in get(tls_box, "/", site)[2]
    status, _, body = get(tls_box, path, site)
    assert b"root:" not in body
    assert status in (400, 403, 404) or b"served" in body, (status, body[:200])


def test_no_path_leads_out_of_the_panel(tls_box: Box, site: str) -> None:
    token = tls_box.json("token", "create", "--name", "script", "--email", PERSON["email"])["token"]
    for above in ("", "/assets", "/api/apps/site/deployments/1/log", "/api/apps/site/environments/production/log",
                  "/apps/site/deployments", "/api/docs"):  # fmt: skip
        for path in TRICKS:
            status, _, body = get(tls_box, above + path, more=f"Authorization: Bearer {token}\r\n")
            assert b"root:" not in body, above + path
            assert status < 500, above + path


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1", "-tls1_2", "-tls1_3"])
def test_tls_begins_at_1_2(tls_box: Box, option: str) -> None:
    assert handshake(tls_box, option, "-cipher", "ALL:@SECLEVEL=0") is (option in ("-tls1_2", "-tls1_3"))


@pytest.mark.parametrize(
    "cipher",
    ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "NULL", "aNULL", "3DES",
     "ECDHE-RSA-AES128-SHA", "CAMELLIA256-SHA"],
)  # fmt: skip
def test_no_weak_cipher_is_taken(tls_box: Box, cipher: str) -> None:
    assert not handshake(tls_box, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")


def handshake(box: Box, *options: str) -> bool:
    command = ["openssl", "s_client", "-connect", f"{box.address}:{box.port}", "-servername", box.panel, *options]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    return said.returncode == 0 and "Cipher is (NONE)" not in said.stdout


# ---- slow ones


def test_clients_that_send_their_heads_byte_by_byte_hold_up_nobody_and_are_let_go(tls_box: Box, site: str) -> None:
    slow = [tls(tls_box) for _ in range(SLOW_CLIENTS)]
    try:
        for byte in b"GET / HTTP/1.1\r\nHost":
            for one in slow:
                send(one, bytes([byte]))
            if byte in b"GH":
                assert get(tls_box, "/sign-in")[0] == 200
                assert get(tls_box, "/", site)[0] == 200
        for one in slow:
            one.settimeout(3 * HEADER_SECONDS)
            assert was_closed(one)
    finally:
        for one in slow:
            one.close()


def test_clients_that_send_their_bodies_byte_by_byte_reach_nobody_behind_nginx(tls_box: Box, site: str) -> None:
    head = f"POST /sign-in HTTP/1.1\r\nHost: {tls_box.panel}:{tls_box.port}\r\nContent-Length: 100000\r\n\r\n"
    slow = [tls(tls_box) for _ in range(SLOW_CLIENTS)]
    before = open_files_of_the_daemon(tls_box)
    try:
        for one in slow:
            send(one, head.encode())
        for _ in range(10):
            for one in slow:
                send(one, b"x")
            assert get(tls_box, "/sign-in")[0] == 200
            assert get(tls_box, "/", site)[0] == 200
        assert open_files_of_the_daemon(tls_box) <= before + 50
    finally:
        for one in slow:
            one.close()


def send(connection: ssl.SSLSocket, data: bytes) -> None:
    """As far as it is still taken."""
    with contextlib.suppress(OSError):
        connection.sendall(data)


def open_files_of_the_daemon(box: Box) -> int:
    pid = box.systemctl("show", "--property=MainPID", "--value", box.unit("daemon")).stdout.strip()
    return len(list((box.proc / pid / "fd").iterdir()))


def was_closed(connection: ssl.SSLSocket) -> bool:
    try:
        return connection.recv(65536) == b"" or was_closed(connection)
    except (ConnectionResetError, ssl.SSLError):
        return True


# ---- last: it stops the daemon


def test_while_the_daemon_is_away_nginxs_answers_have_the_headers_too(tls_box: Box) -> None:
    assert json.loads(tls_box.slipway("status", "--json").stdout)["ok"]
    sockets = [tls_box.unit(part).replace(".service", ".socket") for part in ("web", "admin")]
    tls_box.systemctl("stop", tls_box.unit("daemon"), *sockets)
    try:
        status, headers, body = get(tls_box, "/sign-in")
        assert status == 502
        assert {name for name in SECURITY if name not in headers} == set()
        assert (headers["content-type"], headers["cache-control"]) == ("text/html", "no-store")
        assert b"<h1>Slipway does not answer</h1>" in body
        assert get(tls_box, "/.slipway-unavailable")[0] == 404, "nobody asks for it by its name"
    finally:
        tls_box.systemctl("start", *sockets)
        tls_box.systemctl("start", tls_box.unit("daemon"))
