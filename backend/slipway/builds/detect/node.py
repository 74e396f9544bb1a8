"""Node apps: which package manager installs them, whether they are built, and what starts them."""

import re
from dataclasses import dataclass

from slipway.builds.detect import node_web
from slipway.builds.detect.findings import Findings, Places, Tools
from slipway.builds.detect.tree import CannotBuild, Tree, string, table
from slipway.plan import Step

MARKER = "package.json"
_PACKAGE_MANAGER = re.compile(
    r"(npm|pnpm|yarn|bun)@(\d{1,4}\.\d{1,4}\.\d{1,4}(?:-[0-9A-Za-z.-]{1,40})?)(?:\+.*)?", re.ASCII
)
_LOCKFILE_VERSION = re.compile(r"^lockfileVersion: *['\"]?(\d+)", re.MULTILINE)
_PNPM_FOR_LOCKFILE = {"5": "7", "6": "8", "9": "10"}
"""Version of the lock file's format → the pnpm that reads it."""


@dataclass(frozen=True)
class Package:
    """What matters of a package.json, with values of the wrong type left out."""

    scripts: dict[str, str]
    dependencies: frozenset[str]
    """Those of development too: what a build uses often stands there."""
    main: str | None
    manager: str | None
    node: str | None


def read_package(tree: Tree) -> Package | None:
    """None if there is no package.json. Raises CannotBuild if it cannot be read."""
    content = tree.json_object(MARKER)
    if content is None:
        return None
    scripts = {name: text for name, text in table(content.get("scripts")).items() if isinstance(text, str)}
    names = {*table(content.get("dependencies")), *table(content.get("devDependencies"))}
    return Package(
        scripts=scripts,
        dependencies=frozenset(names),
        main=string(content.get("main")),
        manager=string(content.get("packageManager")),
        node=string(table(content.get("engines")).get("node")),
    )


def find(
    tree: Tree, package: Package, places: Places, tools: Tools, findings: Findings, *, wants_web: bool, is_primary: bool
) -> None:
    """Add how the app is installed, built and, if `wants_web`, served.

    Not `is_primary`: another language's app has a front end made with Node, and only its build is wanted.
    """
    if tools.node is None or tools.npm is None:
        raise CannotBuild("package.json is there, and the server has no Node.js. Install it: apt install nodejs npm.")
    manager = choose_manager(tree, package, places)
    if is_primary:
        findings.stack = "node"
        findings.variables["NODE_ENV"] = "production"
    findings.paths.append(f"{places.directory}/node_modules/.bin")
    findings.reasons.append(f"Node app: package.json is there; {manager.why}")
    if package.node:
        findings.reasons.append(f"Node: package.json asks for {package.node[:60]!r}; the server's own is used")
    if manager.package is not None:
        findings.paths.append(f"{places.tools}/node_modules/.bin")
        findings.prepare.append(_install_manager(manager.package, places, tools))
    findings.install.append(Step("Install packages", manager.install))
    if "build" in package.scripts:
        findings.reasons.append(f"Build: package.json has a build script, `{package.scripts['build'][:200]}`")
        findings.build.append(Step("Run the build script", (manager.name, "run", "build")))
    if is_primary:
        node_web.find(tree, package.scripts, package.dependencies, package.main, findings, wants_web=wants_web)


@dataclass(frozen=True)
class Manager:
    name: str
    why: str
    install: tuple[str, ...]
    """Development packages are named expressly: NODE_ENV=production would leave them out, and builds need them."""
    package: str | None = None
    """What npm installs to have it; None for npm itself."""


def choose_manager(tree: Tree, package: Package, places: Places) -> Manager:
    """By the packageManager field, else by the lock file that is there."""
    name, version = _named_manager(package)
    if name == "bun" or (name is None and tree.first_file("bun.lock", "bun.lockb") and not _has_other_lock(tree)):
        raise CannotBuild("Bun is not supported. Commit a package-lock.json: `npm install --package-lock-only`.")
    if name == "pnpm" or (name is None and tree.has_file("pnpm-lock.yaml")):
        return _pnpm(tree, version, places)
    if name == "yarn" or (name is None and tree.has_file("yarn.lock")):
        return _yarn(tree, version)
    return _npm(tree)


def _named_manager(package: Package) -> tuple[str | None, str | None]:
    named = _PACKAGE_MANAGER.fullmatch(package.manager or "")
    return (named[1], named[2]) if named else (None, None)


def _has_other_lock(tree: Tree) -> bool:
    return tree.first_file("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock") is not None


def _npm(tree: Tree) -> Manager:
    quiet = ("--include=dev", "--no-audit", "--no-fund")
    lock = tree.first_file("package-lock.json", "npm-shrinkwrap.json")
    if lock:
        return Manager("npm", f"npm, because {lock} is there", ("npm", "ci", *quiet))
    return Manager(
        "npm", "npm, without a lock file: versions may differ from build to build", ("npm", "install", *quiet)
    )


def _pnpm(tree: Tree, version: str | None, places: Places) -> Manager:
    has_lock = tree.has_file("pnpm-lock.yaml")
    if version is None:
        lock = _LOCKFILE_VERSION.search(tree.text_if_readable("pnpm-lock.yaml")[:1000])
        version = _PNPM_FOR_LOCKFILE.get(lock[1] if lock else "", "10")
    frozen = "--frozen-lockfile" if has_lock else "--no-frozen-lockfile"
    why = f"pnpm {version}, because " + ("pnpm-lock.yaml is there" if has_lock else "packageManager names it")
    # Copies, not hard links into the store: a later build could change the files of a live release through them.
    store = ("--package-import-method=copy", f"--store-dir={places.cache}/pnpm")
    return Manager("pnpm", why, ("pnpm", "install", frozen, "--prod=false", *store), f"pnpm@{version}")


def _yarn(tree: Tree, version: str | None) -> Manager:
    lock = tree.text_if_readable("yarn.lock")
    why = "because " + ("yarn.lock is there" if lock else "packageManager names it")
    is_classic = version.startswith("1.") if version else "__metadata:" not in lock[:2000]
    if is_classic:
        frozen = ("--frozen-lockfile",) if lock else ()
        argv = ("yarn", "install", *frozen, "--production=false", "--non-interactive")
        return Manager("yarn", f"Yarn 1, {why}", argv, f"yarn@{version or '1.22.22'}")
    version = version or "4"
    immutable = ("--immutable",) if lock else ("--no-immutable",)
    return Manager("yarn", f"Yarn {version}, {why}", ("yarn", "install", *immutable), f"@yarnpkg/cli-dist@{version}")


def _install_manager(package: str, places: Places, tools: Tools) -> Step:
    argv = (
        str(tools.npm),
        "install",
        "--no-audit",
        "--no-fund",
        "--no-save",
        "--ignore-scripts",
        "--prefix",
        places.tools,
        package,
    )
    return Step(f"Get {package}", argv)
