#!/usr/bin/env bash
# Slipway on this machine. `./install.sh --try` runs all of it inside one folder, beside anything else.
set -euo pipefail

main() {
  local action="" port="" state="$PWD/.slipway" example=yes tls=no
  while [ $# -gt 0 ]; do
    case $1 in
      --try) action=try ;;
      --packages | --packages-for-tests) action=${1#--} ;;
      --port) port=${2:?--port needs a number}; shift ;;
      --state) state=${2:?--state needs a folder}; shift ;;
      --no-example) example=no ;;
      --tls) tls=yes ;;
      --help | -h) usage; return ;;
      *) usage >&2; fail "there is no option $1" ;;
    esac
    shift
  done
  case $action in
    packages) install_packages "${PACKAGES[@]}" ;;
    packages-for-tests) install_packages "${PACKAGES[@]}" "${PACKAGES_FOR_TESTS[@]}" ;;
    try) try_here "$state" "$port" "$example" "$tls" ;;
    *) usage >&2; return 2 ;;
  esac
}

usage() {
  cat <<'TEXT'
./install.sh --try [--port N] [--state DIR] [--no-example] [--tls]
    Run Slipway on this machine, all of it inside DIR (./.slipway), on port N
    (8080, or the next free one), and put an example app live. Again: resume it,
    or bring a running one to the code that lies here now. With --tls it speaks HTTPS,
    with a certificate that it makes itself.
./install.sh --packages | --packages-for-tests
    Only install the packages that Slipway, or its tests, need (as root, on Debian).
TEXT
}

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PARTS_OF_A_RELEASE=(backend ui templates systemd nginx logrotate migrations)
PYTHON=/usr/bin/python3 # the system's: every user may run it
PACKAGES=(
  systemd dbus util-linux procps passwd tar
  nginx-light postgresql git ca-certificates
  python3 python3-venv python3-dev gcc pkg-config libsystemd-dev
)
PACKAGES_FOR_TESTS=(chromium curl shellcheck openssl wrk)

try_here() {
  local state=$1 port=$2 example=$3 tls=$4 arguments
  [ -z "$port" ] || [ -e "$state/etc/slipway/slipway.toml" ] || refuse_taken "$port"
  install_packages "${PACKAGES[@]}"
  mkdir -p "$state"
  state=$(cd "$state" && pwd)
  make_release "$state"
  make_command "$state"
  arguments=(up --state "$state")
  [ -z "$port" ] || arguments+=(--port "$port")
  [ "$tls" = no ] || arguments+=(--tls)
  [ "$example" = no ] || arguments+=(--example "$SOURCE/examples/hello")
  exec "$state/bin/slipway" local "${arguments[@]}"
}

# Said before anything is made. An installation that is there already may itself be what listens: `up` looks then.
refuse_taken() {
  local port=$1 address
  [[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || fail "$port is not a port from 1 to 65535"
  printf -v address ':%04X' "$port"
  if cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v end="$address" \
    '$4 == "0A" && substr($2, length($2) - 4) == end { taken = 1 } END { exit !taken }'; then
    fail "something else listens on port $port of this machine. Choose another with --port."
  fi
}

# ---- packages ----------------------------------------------------------------------------------------------------

install_packages() {
  local missing
  command -v node >/dev/null || set -- "$@" nodejs
  command -v npm >/dev/null || set -- "$@" npm
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    fail "these packages must be installed first: ${missing[*]}"
  fi
  say "Installing packages: ${missing[*]}"
  # Debian's nginx and PostgreSQL would start servers of their own, which nobody asked for.
  RUNLEVEL=1 quietly apt-get update
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive quietly apt-get install -y --no-install-recommends "${missing[@]}"
}

missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q ' installed$' || echo "$package"
  done
}

# ---- a release: code, environment, assets --------------------------------------------------------------------------

make_release() {
  local state=$1 version release releases=$1/opt/slipway/releases
  version=$(release_version)
  release=$releases/$version
  mkdir -p "$releases"
  if [ ! -d "$release" ]; then
    rm -rf "$release.new"
    mkdir "$release.new"
    copy_code | tar --extract --no-same-owner --directory="$release.new"
    add_environment "$state" "$release.new"
    add_assets "$state" "$release.new"
    chmod -R go+rX,go-w "$release.new"
    mv "$release.new" "$release"
  fi
  ln -sfn "releases/$version" "$state/opt/slipway/current.new"
  mv -T "$state/opt/slipway/current.new" "$state/opt/slipway/current"
  forget_old_releases "$releases"
}

# The version, and what tells two states of one checkout apart.
release_version() {
  local version sum
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$SOURCE/pyproject.toml" | head -n 1)
  sum=$({ copy_code; cat "$SOURCE/requirements.lock"; } | sha256sum | cut -c1-12)
  echo "$version-$sum"
}

copy_code() {
  local part present=()
  for part in "${PARTS_OF_A_RELEASE[@]}"; do
    [ ! -e "$SOURCE/$part" ] || present+=("$part")
  done
  tar --create --directory="$SOURCE" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
    --exclude=__pycache__ --exclude=node_modules --exclude='.*_cache' "${present[@]}"
}

# The Python environment takes a minute to make, so each set of locked requirements is made once and then linked.
add_environment() {
  local state=$1 release=$2 made current=/opt/slipway/current site scripts
  made=${SLIPWAY_VENV:-$(parts "$state")/venv-$(sha256sum <"$SOURCE/requirements.lock" | cut -c1-12)}
  [ -d "$made" ] || make_environment "$made"
  link_tree "$made" "$release/venv"
  [ "$(id -u)" = 0 ] || current=$state/opt/slipway/current
  site=$(echo "$release"/venv/lib/python3.*/site-packages)
  rm -f "$site"/slipway*.pth # of another checkout
  echo "$current/backend" >"$site/slipway.pth"
  mapfile -t scripts < <(grep -lI '^#!.*/python' "$release"/venv/bin/*)
  sed -i "1s|^#!.*|#!$current/venv/bin/python|" "${scripts[@]}" # they name the place they were made at
  "$release/venv/bin/python" -m compileall -q "$release/backend"
}

make_environment() {
  local made=$1
  say "Installing Slipway's Python packages"
  rm -rf "$made.new"
  mkdir -p "$(dirname "$made")"
  "$PYTHON" -m venv "$made.new"
  # pip would keep a cache in the home of whoever installs.
  quietly "$made.new/bin/python" -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
    --requirement "$SOURCE/requirements.lock"
  mv "$made.new" "$made"
}

add_assets() {
  local state=$1 release=$2 made
  [ -f "$SOURCE/ui/package.json" ] || return 0
  made=$(parts "$state")/node_modules-$(cat "$SOURCE"/ui/package*.json | sha256sum | cut -c1-12)
  if [ ! -d "$made" ]; then
    say "Installing the pages' JavaScript packages"
    rm -rf "$made.new"
    mkdir -p "$made.new"
    cp "$SOURCE"/ui/package*.json "$made.new/"
    # npm would keep its cache and logs in the home of whoever installs.
    (cd "$made.new" && quietly npm ci --cache "$made.new/.npm" --ignore-scripts --no-audit --no-fund --no-update-notifier)
    rm -rf "$made.new/.npm"
    mv "$made.new" "$made"
  fi
  [ ! -d "$made/node_modules" ] || link_tree "$made/node_modules" "$release/ui/node_modules"
}

# Where expensive parts of releases are kept; one folder can serve several states.
parts() {
  echo "${SLIPWAY_PARTS:-$1/opt/slipway/parts}"
}

# A copy that shares the files' contents where the file system allows it.
link_tree() {
  cp -al "$1" "$2" 2>/dev/null || { rm -rf "$2" && cp -a "$1" "$2"; }
}

forget_old_releases() {
  local old current
  current=$(readlink -f "$1/../current")
  while read -r old; do
    [ "$1/$old" = "$current" ] || rm -rf "${1:?}/$old"
  done < <(find "$1" -mindepth 1 -maxdepth 1 -printf '%T@ %f\n' | sort -rn | tail -n +4 | cut -d' ' -f2-)
}

# ---- the command that people type ------------------------------------------------------------------------------------

make_command() {
  local state=$1
  mkdir -p "$state/bin"
  cat >"$state/bin/slipway.new" <<TEXT
#!/bin/sh
# Slipway in this folder. It asks the daemon over its socket; only \`down\` and \`local\` work on the box itself.
state='$state'
[ "\${1-}" != down ] || { shift; set -- local down --state "\$state" "\$@"; }
export PYTHONPATH="\$state/opt/slipway/current/backend"
export SLIPWAY_SETTINGS="\$state/etc/slipway/slipway.toml"
export SLIPWAY_ADMIN_SOCKET="\$state/run/slipway/admin.sock"
exec "\$state/opt/slipway/current/venv/bin/python" -P -m slipway "\$@"
TEXT
  chmod 755 "$state/bin/slipway.new"
  mv "$state/bin/slipway.new" "$state/bin/slipway"
}

# ---- words -------------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "install.sh: $*"
  exit 1
}

# Show what a command said only if it failed.
quietly() {
  local log
  log=$(mktemp)
  if "$@" >"$log" 2>&1 </dev/null; then
    rm -f "$log"
  else
    say "$* failed:"
    tail -n 40 "$log" >&2
    rm -f "$log"
    return 1
  fi
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  main "$@"
fi
