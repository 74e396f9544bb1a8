"""What is found in small trees, and what a person set instead."""

from pathlib import Path

import pytest

from slipway.builds.detect.detection import detect, explain, shown
from slipway.builds.detect.findings import Findings, Places, Tools
from slipway.builds.detect.tree import CannotBuild, Tree
from slipway.plan import BuildOverrides

TOOLS = Tools(python="/usr/bin/python3", uv="/opt/uv", node="/usr/bin/node", npm="/usr/bin/npm")
GUNICORN = "--bind 127.0.0.1:$PORT --workers ${WEB_CONCURRENCY:-2} --worker-tmp-dir /dev/shm"
UVICORN = "--host 127.0.0.1 --port $PORT"
MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")'


def plant(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def look(folder: Path, files: dict[str, str], tools: Tools = TOOLS, **overrides: str) -> Findings:
    plant(folder, files)
    tree = Tree(folder)
    places = Places(folder="/build", directory="/build/app", cache="/cache")
    return detect(tree, places, tools, BuildOverrides(**overrides))


def commands(findings: Findings) -> list[str]:
    return [shown(step) for step in findings.steps]


# ---- Procfile --------------------------------------------------------------------------------------------------


def test_a_procfile_alone_is_an_app_that_needs_nothing_installed(tmp_path: Path) -> None:
    found = look(tmp_path, {"Procfile": "# what runs\r\nweb: ./serve $PORT\r\n\r\nclock-1: ./tick\r\n"})
    assert found.stack == "procfile"
    assert found.processes == {"web": "./serve $PORT", "clock-1": "./tick"}
    assert found.steps == ()


def test_a_procfile_wins_over_the_web_process_that_a_framework_would_get(tmp_path: Path) -> None:
    found = look(
        tmp_path, {"Procfile": "worker: python jobs.py", "requirements.txt": "flask", "app.py": "app = Flask(1)"}
    )
    assert found.stack == "python"
    assert found.processes == {"worker": "python jobs.py"}
    assert any("-r requirements.txt" in command for command in commands(found))


def test_a_release_line_is_the_release_command_and_no_process(tmp_path: Path) -> None:
    files = {"Procfile": "release: python manage.py migrate", "requirements.txt": "flask\n", "app.py": "app = Flask(1)"}
    found = look(tmp_path, files)
    assert found.release_command == "python manage.py migrate"
    assert set(found.processes) == {"web"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("web", "line 2: this is not `name: command`"),
        ("Web: x", "line 2: 'Web' cannot be the name"),
        ("-web: x", "line 2: '-web' cannot be the name"),
        ("web$(id): x", "cannot be the name"),
        ("web:", "line 2: The command is empty"),
        ("web: a\0b", "line 2: The command holds a line break or a NUL"),
        ("web: a\rb", "line 2: The command holds a line break or a NUL"),
        ("web: " + "x" * 4097, "line 2: The command is longer than 4096 bytes"),
        ("ok: x", "line 2: ok is there twice"),
        ("p" * 32 + ": x", "cannot be the name"),
    ],
)
def test_a_wrong_line_of_a_procfile_is_refused_with_its_number(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "Procfile").write_bytes(f"ok: x\n{line}\n".encode())
    with pytest.raises(CannotBuild) as refused:
        look(tmp_path, {})
    assert says in refused.value.message


def test_more_than_twenty_processes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match="at most 20"):
        look(tmp_path, {"Procfile": "\n".join(f"p{number}: x" for number in range(21))})


# ---- Python ----------------------------------------------------------------------------------------------------

PYTHON_WEB = [
    ({"app.py": "from flask import Flask\napp = Flask(__name__)"}, "flask", "Flask", f"gunicorn app:app {GUNICORN}"),
    (
        {"wsgi.py": "import flask\napplication = flask.Flask('x')"},
        "flask",
        "Flask",
        f"gunicorn wsgi:application {GUNICORN}",
    ),
    (
        {"wsgi.py": "from shop import create_app\napp = create_app()"},
        "Flask>=3",
        "Flask",
        f"gunicorn wsgi:app {GUNICORN}",
    ),
    (
        {"shop/__init__.py": "def create_app(config=None):\n    app = Flask(__name__)\n    return app"},
        "flask",
        "Flask",
        f"gunicorn 'shop:create_app()' {GUNICORN}",
    ),
    ({"main.py": "app: FastAPI = FastAPI()"}, "fastapi", "FastAPI", f"uvicorn main:app {UVICORN}"),
    ({"app/main.py": "app = FastAPI()"}, "fastapi", "FastAPI", f"uvicorn app.main:app {UVICORN}"),
    ({"src/api/main.py": "app = FastAPI()"}, "fastapi", "FastAPI", f"uvicorn api.main:app {UVICORN} --app-dir src"),
    (
        {"main.py": "def create_app():\n    return Starlette()"},
        "starlette",
        "Starlette",
        f"uvicorn main:create_app {UVICORN} --factory",
    ),
    (
        {"app.py": "from litestar import Litestar\napp = Litestar([])"},
        "litestar",
        "Litestar",
        f"uvicorn app:app {UVICORN}",
    ),
]


@pytest.mark.parametrize(("files", "requirement", "framework", "web"), PYTHON_WEB)
def test_the_object_that_a_server_serves_is_found_by_reading(
    tmp_path: Path, files: dict[str, str], requirement: str, framework: str, web: str
) -> None:
    found = look(tmp_path, {"requirements.txt": f"{requirement}\n", **files})
    assert (found.stack, found.framework, found.processes["web"]) == ("python", framework, web)


def test_a_server_that_the_app_does_not_ask_for_is_installed_too_and_the_log_says_so(tmp_path: Path) -> None:
    found = look(tmp_path, {"requirements.txt": "fastapi", "main.py": "app = FastAPI()"})
    assert commands(found)[-1].endswith("'uvicorn[standard]'")
    assert "uvicorn is installed too" in "\n".join(explain(found))


def test_a_server_named_in_an_included_requirements_file_is_not_installed_again(tmp_path: Path) -> None:
    files = {"requirements.txt": "-r requirements/base.txt", "requirements/base.txt": "-r more.txt\nflask"}
    found = look(tmp_path, {**files, "requirements/more.txt": "Gunicorn>=20", "app.py": "app = Flask(1)"})
    assert len(found.steps) == 2


def test_requirements_files_that_include_each_other_end(tmp_path: Path) -> None:
    files = {"requirements.txt": "-r other.txt\nflask", "other.txt": "-r requirements.txt", "app.py": "app = Flask(1)"}
    assert look(tmp_path, files).framework == "Flask"


def test_a_factory_that_needs_arguments_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match="no object named app"):
        look(tmp_path, {"requirements.txt": "flask", "app.py": "def create_app(config):\n    return Flask(config)"})


def test_a_file_that_is_no_python_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match=r"app\.py, line 3: syntax error.*slipway settings APP start_command"):
        look(tmp_path, {"requirements.txt": "flask", "app.py": "import flask\n\napp = = Flask(1)\n"})


def test_a_dockerfile_alone_is_said_not_to_be_used(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match="Dockerfiles are not used yet"):
        look(tmp_path, {"Dockerfile": "FROM scratch"})


def test_django_is_served_by_gunicorn_and_its_static_files_are_collected(tmp_path: Path) -> None:
    found = look(
        tmp_path,
        {
            "manage.py": MANAGE,
            "requirements.txt": "django\ngunicorn",
            "shop/settings.py": "WSGI_APPLICATION = 'shop.wsgi.application'\nSTATIC_ROOT = BASE_DIR / 'static'",
            "shop/wsgi.py": "",
        },
    )
    assert found.framework == "Django"
    assert found.processes["web"] == f"gunicorn shop.wsgi {GUNICORN}"
    assert commands(found)[-1] == "/build/venv/bin/python manage.py collectstatic --noinput"
    assert found.release_command is None


def test_django_with_a_settings_package_is_found(tmp_path: Path) -> None:
    files = {"manage.py": MANAGE.replace("shop.settings", "shop.settings.production"), "requirements.txt": "Django"}
    files |= {"shop/settings/base.py": "STATIC_ROOT = 1", "shop/settings/production.py": "", "shop/wsgi.py": ""}
    found = look(tmp_path, files)
    assert found.processes["web"].startswith("gunicorn shop.wsgi ")
    assert "collectstatic" in commands(found)[-1]


def test_django_with_channels_is_served_by_uvicorn(tmp_path: Path) -> None:
    files = {"manage.py": MANAGE, "requirements.txt": "django\nchannels", "shop/settings.py": "", "shop/asgi.py": ""}
    assert look(tmp_path, files).processes["web"] == f"uvicorn shop.asgi:application {UVICORN}"


def test_a_project_just_as_startproject_leaves_it_gets_the_django_that_made_it(tmp_path: Path) -> None:
    settings = "Generated by 'django-admin startproject' using Django 5.2.19."
    found = look(tmp_path, {"manage.py": MANAGE, "shop/settings.py": settings, "shop/wsgi.py": ""})
    assert any(command.endswith("django~=5.2.0") for command in (text.replace("'", "") for text in commands(found)))
    assert "add a requirements.txt" in "\n".join(explain(found))


PYTHON_INSTALL = [
    ({"requirements.txt": ""}, "/opt/uv pip install --python /build/venv/bin/python -r requirements.txt"),
    (
        {"pyproject.toml": "[project]\nname='x'"},
        "/opt/uv pip install --python /build/venv/bin/python -r pyproject.toml",
    ),
    (
        {"pyproject.toml": "[project]\nname='x'\n[build-system]\nrequires=[]"},
        "/opt/uv pip install --python /build/venv/bin/python --editable .",
    ),
    ({"pyproject.toml": "[project]\nname='x'", "uv.lock": "version = 1"}, "/opt/uv sync --frozen --no-dev"),
    (
        {"pyproject.toml": "[tool.poetry]\nname='x'\n[build-system]\nrequires=['poetry-core']"},
        "/opt/uv pip install --python /build/venv/bin/python --editable .",
    ),
]


@pytest.mark.parametrize(("files", "command"), PYTHON_INSTALL)
def test_python_packages_are_installed_from_what_names_them(
    tmp_path: Path, files: dict[str, str], command: str
) -> None:
    assert commands(look(tmp_path, {"Procfile": "web: x", **files}))[1] == command


def test_without_uv_pip_does_it(tmp_path: Path) -> None:
    tools = Tools(python="/usr/bin/python3", uv=None, node=None, npm=None)
    found = look(tmp_path, {"Procfile": "web: x", "requirements.txt": ""}, tools)
    assert commands(found)[0] == "/usr/bin/python3 -m venv /build/venv"
    assert commands(found)[1].startswith("/build/venv/bin/python -m pip install")


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({".python-version": "3.12\n"}, "3.12"),
        ({"runtime.txt": "python-3.11.9"}, "3.11.9"),
        ({"pyproject.toml": "[project]\nrequires-python = '>=3.10, <3.13'"}, "'>=3.10,<3.13'"),
        ({".python-version": "; rm -rf /"}, "/usr/bin/python3"),
        ({"pyproject.toml": "[project]\nrequires-python = '--help'"}, "/usr/bin/python3"),
    ],
)
def test_the_python_that_is_asked_for_is_used(tmp_path: Path, files: dict[str, str], version: str) -> None:
    found = look(tmp_path, {"Procfile": "web: x", "requirements.txt": "", **files})
    assert f"--python {version} " in commands(found)[0]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"Pipfile": ""}, "pipenv requirements"),
        ({"pyproject.toml": "[tool.poetry]\nname = 'x'"}, "poetry export"),
        ({"pyproject.toml": "[tool.poetry]\npackage-mode = false\n[build-system]\nrequires=[]"}, "poetry export"),
        ({"pyproject.toml": "[project"}, "pyproject.toml is not TOML"),
    ],
)
def test_what_is_not_supported_comes_with_what_to_do(tmp_path: Path, files: dict[str, str], says: str) -> None:
    with pytest.raises(CannotBuild, match=says):
        look(tmp_path, files)


def test_a_pyproject_that_only_configures_tools_makes_no_python_app(tmp_path: Path) -> None:
    found = look(tmp_path, {"pyproject.toml": "[tool.ruff]\nline-length = 100", "index.html": ""})
    assert found.stack == "static"


def test_a_front_end_beside_a_python_app_is_built_first(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "flask",
        "app.py": "app = Flask(1)",
        "package.json": '{"scripts": {"build": "vite build"}}',
    }
    found = look(tmp_path, files)
    assert (found.stack, found.processes["web"].split()[0]) == ("python", "gunicorn")
    assert "npm run build" in commands(found)


# ---- Node ------------------------------------------------------------------------------------------------------

NODE_WEB = [
    ('{"scripts": {"start": "node server.js"}}', {}, "node server.js"),
    ('{"scripts": {"start": "node x", "prestart": "echo"}}', {}, "npm run start"),
    (
        '{"scripts": {"start": "node dist/main", "start:prod": "node p"}, "dependencies": {"@nestjs/core": "1"}}',
        {},
        "node p",
    ),
    ('{"main": "lib/a b.js"}', {"lib/a b.js": "", "index.js": ""}, "node index.js"),
    ('{"main": "lib/run.js"}', {"lib/run.js": ""}, "node lib/run.js"),
    ('{"main": "../../etc/x.js"}', {"server.js": ""}, "node server.js"),
    ('{"dependencies": {"next": "1"}}', {}, "next start -H 127.0.0.1 -p $PORT"),
    ('{"dependencies": {"next": "1"}, "scripts": {"start": "next dev"}}', {}, "next start -H 127.0.0.1 -p $PORT"),
    ('{"dependencies": {"nuxt": "1"}}', {}, "HOST=127.0.0.1 node .output/server/index.mjs"),
    ('{"dependencies": {"@sveltejs/kit": "1", "@sveltejs/adapter-node": "1"}}', {}, "HOST=127.0.0.1 node build"),
    ('{"dependencies": {"astro": "1", "@astrojs/node": "1"}}', {}, "HOST=127.0.0.1 node dist/server/entry.mjs"),
]


@pytest.mark.parametrize(("package", "files", "web"), NODE_WEB)
def test_a_node_app_is_started_by_its_script_its_framework_or_its_file(
    tmp_path: Path, package: str, files: dict[str, str], web: str
) -> None:
    found = look(tmp_path, {"package.json": package, **files})
    assert (found.stack, found.processes) == ("node", {"web": web})


NODE_STATIC = [
    ('{"devDependencies": {"vite": "1"}, "scripts": {"start": "vite"}}', {}, ["dist"]),
    ('{"devDependencies": {"vite": "1"}}', {"vite.config.js": "{build: {outDir: './out/'}}"}, ["out", "dist"]),
    ('{"devDependencies": {"vite": "1"}}', {"vite.config.js": "{build: {outDir: '../out'}}"}, ["dist"]),
    ('{"dependencies": {"react-scripts": "1"}, "scripts": {"start": "react-scripts start"}}', {}, ["build"]),
    ('{"dependencies": {"astro": "1"}}', {}, ["dist"]),
    ('{"dependencies": {"next": "1"}}', {"next.config.mjs": "export default {output: 'export'}"}, ["out"]),
    ('{"devDependencies": {"vitepress": "1"}}', {}, ["docs/.vitepress/dist", ".vitepress/dist"]),
    ('{"dependencies": {"@sveltejs/kit": "1", "@sveltejs/adapter-static": "1", "vite": "1"}}', {}, ["build"]),
]


@pytest.mark.parametrize(("package", "files", "folders"), NODE_STATIC)
def test_a_front_end_without_a_server_is_a_static_site(
    tmp_path: Path, package: str, files: dict[str, str], folders: list[str]
) -> None:
    found = look(tmp_path, {"package.json": package, **files})
    assert (found.processes, found.public_folders, found.is_static) == ({}, folders, True)


NODE_INSTALL = [
    ({"package-lock.json": "{}"}, "{}", ["npm ci --include=dev --no-audit --no-fund"]),
    ({}, "{}", ["npm install --include=dev --no-audit --no-fund"]),
    ({"pnpm-lock.yaml": "lockfileVersion: '6.0'"}, "{}", ["pnpm@8", "pnpm install --frozen-lockfile --prod=false"]),
    ({"pnpm-lock.yaml": ""}, '{"packageManager": "pnpm@9.15.0+sha512.ab"}', ["pnpm@9.15.0", "pnpm install"]),
    ({"yarn.lock": "# yarn lockfile v1"}, "{}", ["yarn@1.22.22", "yarn install --frozen-lockfile"]),
    ({"yarn.lock": "__metadata:"}, "{}", ["@yarnpkg/cli-dist@4", "yarn install --immutable"]),
    ({"yarn.lock": "x"}, '{"packageManager": "yarn@4.5.0"}', ["@yarnpkg/cli-dist@4.5.0", "yarn install --immutable"]),
    ({"package-lock.json": "{}"}, '{"packageManager": "pnpm@1; id"}', ["npm ci"]),
]


@pytest.mark.parametrize(("files", "package", "expected"), NODE_INSTALL)
def test_the_package_manager_is_the_one_that_the_app_uses(
    tmp_path: Path, files: dict[str, str], package: str, expected: list[str]
) -> None:
    found = commands(look(tmp_path, {"package.json": package, "index.js": "", **files}))
    assert len(found) == len(expected)
    assert all(part in command for part, command in zip(expected, found, strict=True))


def test_a_node_app_without_anything_to_start_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match="no start script"):
        look(tmp_path, {"package.json": "{}"})


def test_sveltekit_without_a_fitting_adapter_says_which_to_add(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match="adapter-node"):
        look(tmp_path, {"package.json": '{"devDependencies": {"@sveltejs/kit": "1", "@sveltejs/adapter-auto": "1"}}'})


def test_a_server_without_node_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match="apt install nodejs npm"):
        look(tmp_path, {"package.json": "{}"}, Tools("/usr/bin/python3", None, None, None))


# ---- static sites, and nothing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "folder"), [("index.html", "."), ("public/index.html", "public"), ("site/index.html", "site")]
)
def test_a_folder_with_an_index_is_a_static_site(tmp_path: Path, file: str, folder: str) -> None:
    found = look(tmp_path, {file: ""})
    assert (found.stack, found.public_folders, found.processes) == ("static", [folder], {})


def test_nothing_recognised_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match=r"Looked for: Procfile, .*Add a Procfile"):
        look(tmp_path, {"README.md": ""})


def test_an_app_in_a_folder_below_is_pointed_at(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match="in backend or web: set that as the app's base directory"):
        look(tmp_path, {"backend/manage.py": "", "web/package.json": "{}", "docs/readme": ""})


def test_what_a_checkout_leaves_out_is_said(tmp_path: Path) -> None:
    found = look(tmp_path, {"index.html": "", ".gitmodules": "", ".gitattributes": "*.psd filter=lfs"})
    assert sum(line.strip().startswith("Note:") for line in explain(found)) == 2


# ---- overrides -----------------------------------------------------------------------------------------------


def test_each_override_wins_and_is_said(tmp_path: Path) -> None:
    found = look(
        tmp_path,
        {"requirements.txt": "flask", "app.py": "app = Flask(1)"},
        install_command="pip install -r other.txt",
        build_command="make assets",
        start_command="./serve",
        release_command="./migrate",
    )
    assert [step.command for step in found.steps if step.command] == ["pip install -r other.txt", "make assets"]
    assert "--seed" in commands(found)[0], "pip must be there for the command"
    assert found.processes == {"web": "./serve"}
    assert found.release_command == "./migrate"
    assert sum("as set" in line for line in explain(found)) == 4


def test_a_public_folder_that_is_set_makes_a_static_site(tmp_path: Path) -> None:
    found = look(tmp_path, {"package.json": '{"scripts": {"start": "node x", "build": "make"}}'}, public_folder="out/")
    assert (found.processes, found.public_folders, found.is_static) == ({}, ["out"], True)


def test_a_start_command_alone_is_enough(tmp_path: Path) -> None:
    assert look(tmp_path, {"run.sh": ""}, start_command="sh run.sh").processes == {"web": "sh run.sh"}


def test_a_start_command_wins_over_a_static_site(tmp_path: Path) -> None:
    found = look(tmp_path, {"index.html": ""}, start_command="./serve")
    assert (found.processes, found.is_static) == ({"web": "./serve"}, False)
