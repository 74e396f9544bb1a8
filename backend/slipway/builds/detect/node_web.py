"""What starts a Node app, or which folder its build puts out for nginx to serve."""

import re
import shlex
from collections.abc import Collection, Mapping

from slipway.builds.detect.findings import HOW_TO_START, Findings
from slipway.builds.detect.tree import CannotBuild, Tree
from slipway.plan import MAX_COMMAND_BYTES

_DEV_SERVERS = re.compile(
    r"(?:npx\s+)?(?:vite(?:\s+(?:dev|serve|preview)\b|\s+-|\s*$)|react-scripts\s+start|vue-cli-service\s+serve|"
    r"ng\s+serve|astro\s+(?:dev|start|preview)|gatsby\s+(?:develop|start)|next\s+dev|nuxi?\s+(?:dev|preview)|"
    r"docusaurus\s+(?:start|serve)|vitepress\s+(?:dev|preview)|parcel\b|webpack(?:-dev-server|\s+serve)|nodemon\b|"
    r"eleventy\s+--serve|serve\b|http-server\b)"
)
"""Start scripts that serve a developer, or a folder that nginx serves better."""
_OUT_DIR = re.compile(r"""\b(?:outDir|distDir)\s*:\s*["']([A-Za-z0-9._/-]{1,100})["']""")
_NEXT_EXPORT = re.compile(r"""\boutput\s*:\s*["']export["']""")
_SERVERS = {
    "@nestjs/core": "NestJS",
    "express": "Express",
    "fastify": "Fastify",
    "koa": "Koa",
    "hono": "Hono",
    "@hapi/hapi": "hapi",
    "@react-router/serve": "React Router",
    "@remix-run/serve": "Remix",
}
"""Package → name, of frameworks that an app's own start script or main file starts."""
_STATIC = (
    # package, name, folders that its build puts out
    ("react-scripts", "Create React App", ("build",)),
    ("@vue/cli-service", "Vue CLI", ("dist",)),
    ("gatsby", "Gatsby", ("public",)),
    ("vitepress", "VitePress", ("docs/.vitepress/dist", ".vitepress/dist")),
    ("@docusaurus/core", "Docusaurus", ("build",)),
    ("@11ty/eleventy", "Eleventy", ("_site",)),
    ("vite", "Vite", ("dist",)),
    ("parcel", "Parcel", ("dist",)),
    ("webpack", "webpack", ("dist", "build")),
)
_CONFIGS = {
    name: tuple(f"{name}.config.{ending}" for ending in ("js", "mjs", "cjs", "ts", "mts"))
    for name in ("next", "vite", "astro", "svelte")
}
_ENTRY_FILES = (
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "server.mjs",
    "index.mjs",
    "src/server.js",
    "src/index.js",
)


def find(
    tree: Tree,
    scripts: Mapping[str, str],
    dependencies: Collection[str],
    main: str | None,
    findings: Findings,
    *,
    wants_web: bool,
) -> None:
    """Add `web`, or the folders that may be served. Raises CannotBuild where a framework cannot run as it is set up."""
    findings.framework = _framework(dependencies)
    if not wants_web:
        return
    if _find_start_script(scripts, dependencies, findings):
        return
    if _find_framework(tree, scripts, dependencies, findings):
        return
    _find_entry_file(tree, main, findings)


def _framework(dependencies: Collection[str]) -> str | None:
    full = {
        "next": "Next.js",
        "nuxt": "Nuxt",
        "@sveltejs/kit": "SvelteKit",
        "astro": "Astro",
        "@angular/core": "Angular",
    }
    static = {package: name for package, name, _ in _STATIC}
    return next((name for package, name in (full | _SERVERS | static).items() if package in dependencies), None)


def _find_start_script(scripts: Mapping[str, str], dependencies: Collection[str], findings: Findings) -> bool:
    script = "start:prod" if "@nestjs/core" in dependencies and "start:prod" in scripts else "start"
    text = scripts.get(script, "").strip()
    if not text:
        return False
    if _DEV_SERVERS.match(text):
        findings.reasons.append(f"The start script `{text[:100]}` is for development or for files only; it is not used")
        return False
    findings.processes["web"] = _start_command(script, text, scripts)
    findings.reasons.append(f"package.json has the script {script} → web: {findings.processes['web'][:200]}")
    return True


def _start_command(script: str, text: str, scripts: Mapping[str, str]) -> str:
    """The script's own text where that does the same: npm as its parent costs 60 MB and hides how the app ended."""
    needs_npm = f"pre{script}" in scripts or f"post{script}" in scripts or "npm_" in text or "\n" in text
    if needs_npm or len(text.encode()) > MAX_COMMAND_BYTES:
        return f"npm run {script}"
    return text


def _find_framework(tree: Tree, scripts: Mapping[str, str], dependencies: Collection[str], findings: Findings) -> bool:
    if "next" in dependencies:
        if _NEXT_EXPORT.search(_config(tree, "next")):
            return _serve_folders(findings, "Next.js, with output: 'export'", "out")
        return _serve_with(findings, "Next.js", "next start -H 127.0.0.1 -p $PORT")
    if "nuxt" in dependencies:
        if "generate" in scripts.get("build", ""):
            return _serve_folders(findings, "Nuxt, generated", ".output/public", "dist")
        return _serve_with(findings, "Nuxt", "HOST=127.0.0.1 node .output/server/index.mjs")
    if "@sveltejs/kit" in dependencies:
        return _find_sveltekit(dependencies, findings)
    if "astro" in dependencies:
        if "@astrojs/node" in dependencies:
            return _serve_with(findings, "Astro with @astrojs/node", "HOST=127.0.0.1 node dist/server/entry.mjs")
        return _serve_folders(findings, "Astro", *_out_dirs(tree, "astro"), "dist")
    if "@angular/core" in dependencies:
        return _serve_folders(findings, "Angular", "dist", "dist/*/browser", "dist/*")
    for package, name, folders in _STATIC:
        if package in dependencies:
            return _serve_folders(findings, name, *_out_dirs(tree, package), *folders)
    return False


def _find_sveltekit(dependencies: Collection[str], findings: Findings) -> bool:
    if "@sveltejs/adapter-node" in dependencies:
        return _serve_with(findings, "SvelteKit with adapter-node", "HOST=127.0.0.1 node build")
    if "@sveltejs/adapter-static" in dependencies:
        return _serve_folders(findings, "SvelteKit with adapter-static", "build")
    raise CannotBuild(
        "SvelteKit has no adapter here that makes something to run. Add one: `npm install -D @sveltejs/adapter-node`, "
        "and name it in svelte.config.js (or adapter-static for a site of files only)."
    )


def _find_entry_file(tree: Tree, main: str | None, findings: Findings) -> None:
    names = [main] if main and _is_plain(main) else []
    entry = tree.first_file(*names, *_ENTRY_FILES)
    if entry is None:
        findings.no_web = (
            "This is a Node app, but its package.json has no start script, and there is no server.js or index.js. "
            f"Add a start script or a Procfile, or {HOW_TO_START}."
        )
        return
    findings.processes["web"] = f"node {shlex.quote(entry)}"
    findings.reasons.append(f"{entry} is there → web: {findings.processes['web']}")


def _is_plain(path: str) -> bool:
    return (
        re.fullmatch(r"(?:\./)?[A-Za-z0-9_@][A-Za-z0-9_@./-]{0,200}", path, re.ASCII) is not None and ".." not in path
    )


def _serve_with(findings: Findings, name: str, command: str) -> bool:
    findings.processes["web"] = command
    findings.reasons.append(f"{name} → web: {command}")
    return True


def _serve_folders(findings: Findings, name: str, *folders: str) -> bool:
    findings.public_folders += dict.fromkeys(folders)
    findings.reasons.append(f"{name} → static site, served by nginx from {' or '.join(dict.fromkeys(folders))}")
    return True


def _config(tree: Tree, name: str) -> str:
    file = tree.first_file(*_CONFIGS.get(name, ()))
    return tree.text_if_readable(file) if file else ""


def _out_dirs(tree: Tree, name: str) -> list[str]:
    """Where a configuration says that the build goes; read as text, since only Node could run it."""
    found = _OUT_DIR.search(_config(tree, name))
    return [found[1].removeprefix("./").rstrip("/")] if found and ".." not in found[1] and found[1][0] != "/" else []
