#!/usr/bin/env bash
# Slipway on this machine: as a server (`sudo ./install.sh`, or piped into bash), or all of it inside one folder,
# beside anything else (`./install.sh --try`).
set -euo pipefail

main() {
  local unnamed
  exec 3>&2 # the screen, whatever else 2 becomes
  unnamed=$(mktemp)
  exec 4<>"$unnamed"
  rm "$unnamed"
  trap ended_by_signal INT TERM HUP
  trust_authorities
  local action=server port="" state="${PWD:-.}/.slipway" example=yes tls=no server=() removal=()
  local arguments=("$@")
  while [ $# -gt 0 ]; do
    case $1 in
      --try) action=try ;;
      --listen) server+=(--listen "${2:?--listen needs an address}"); shift ;;
      --base) server+=(--base "${2:?--base needs a domain}"); shift ;;
      --acme-server) server+=(--acme-server "${2:?--acme-server needs an address}"); shift ;;
      --email) server+=(--email "${2:?--email needs an address}"); shift ;;
      --uninstall) action=uninstall ;;
      --with-data) removal+=(--with-data) ;;
      --packages | --packages-for-tests | --packages-for-test-servers) action=${1#--} ;;
      --port) port=${2:?--port needs a number}; shift ;;
      --state) state=${2:?--state needs a folder}; shift ;;
      --no-example) example=no ;;
      --tls) tls=yes ;;
      --help | -h) usage; return ;;
      *) usage >&2; fail "there is no option $1" ;;
    esac
    shift
  done
  [ "$action" != server ] || has_code || fetch_and_go_on "${arguments[@]}"
  case $action in
    server) make_server "${server[@]}" ;;
    uninstall) uninstall_server "${removal[@]}" ;;
    packages) install_packages "${PACKAGES[@]}" ;;
    packages-for-tests) install_packages "${PACKAGES[@]}" "${PACKAGES_FOR_TESTS[@]}" ;;
    packages-for-test-servers)
      install_packages "${PACKAGES[@]}" "${PACKAGES_FOR_TESTS[@]}" "${PACKAGES_FOR_TEST_SERVERS[@]}" ;;
    try) try_here "$state" "$port" "$example" "$tls" ;;
  esac
}

usage() {
  cat <<'TEXT'
sudo ./install.sh [--listen ADDRESS] [--base DOMAIN] [--email ADDRESS] [--acme-server URL]
    Make this machine (Debian 12 or 13, Ubuntu 24.04) a Slipway server. Again: repair it, or bring it to the code
    that lies here now. The panel is at DOMAIN and apps are below it; without --base, that is a name which
    resolves to this machine's address. Certificates come from Let's Encrypt, or from the ACME server at
    URL; the authority writes to the e-mail ADDRESS, if one is given.
    Without a checkout: curl -fsSL …/install.sh | sudo SLIPWAY_REPO=https://… bash -s -- [OPTIONS]
sudo /opt/slipway/install.sh [OPTIONS]
    On a server, the same with the code that is installed: repair it, or change what the OPTIONS say.
sudo /opt/slipway/install.sh --uninstall [--with-data]
    Remove Slipway, also where an install was ended in the middle; apps' data and the database stay where they
    are, unless --with-data is given.
./install.sh --try [--port N] [--state DIR] [--no-example] [--tls]
    Run Slipway on this machine, all of it inside DIR (./.slipway), on port N
    (8080, or the next free one), and put an example app live. Again: resume it,
    or bring a running one to the code that lies here now. With --tls it speaks HTTPS,
    with a certificate that it makes itself.
./install.sh --packages | --packages-for-tests | --packages-for-test-servers
    Only install the packages that Slipway, or its tests, need (as root, on Debian).
TEXT
}

# The checkout this file lies in; empty where it was piped into bash, and for a server's own copy.
SOURCE=""
HERE=""
[ ! -f "${BASH_SOURCE[0]:-}" ] || HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ ! -f "$HERE/pyproject.toml" ] || SOURCE=$HERE
PARTS_OF_A_RELEASE=(backend ui templates systemd nginx logrotate migrations)
PYTHON=/usr/bin/python3 # the system's: every user may run it
PACKAGES=(
  systemd dbus util-linux procps passwd tar
  nginx-light postgresql git ca-certificates
  python3 python3-venv python3-dev gcc pkg-config libsystemd-dev
)
PACKAGES_OF_A_SERVER=(nftables logrotate unattended-upgrades systemd-oomd)
PACKAGES_FOR_TESTS=(chromium curl shellcheck openssl wrk nftables pebble)
PACKAGES_FOR_TEST_SERVERS=(debootstrap systemd-container iproute2 qemu-system-x86 qemu-utils e2fsprogs openssh-client)

# ---- a server ------------------------------------------------------------------------------------------------------

SETTINGS=/etc/slipway/slipway.toml
LOG=/var/log/slipway-install.log
KEPT=/opt/slipway/install.sh # this file, as a server keeps it
LEAST_DISK=2000   # MB free
LEAST_MEMORY=400  # MB
SMALL_MEMORY=900  # MB: below, swap is needed

make_server() {
  local old="" told
  check_machine
  keep_installer
  [ ! -L /opt/slipway/current ] || old=$(readlink /opt/slipway/current)
  DETAILS=$LOG
  : >>"$LOG"
  exec 2> >(exec tee --ignore-interrupts --append "$LOG" >&3)
  say_what_begins "${old#releases/}"
  step 1 "packages"
  install_server_packages
  step 2 "Slipway's code"
  [ -z "$SOURCE" ] || make_release ""
  step 3 "users, database, units, nginx, firewall"
  trap '' INT HUP # an upgrade goes on to its end, or back
  if ! told=$(/opt/slipway/current/venv/bin/python -I -m slipway server install "$@"); then
    go_back "$old" "$@"
  fi
  make_server_command
  step 4 "done"
  say_where "$told"
}

# Without a checkout: a server's own copy of this file goes on with the release that is there.
has_code() {
  [ -n "$SOURCE" ] || { [ "$HERE" = /opt/slipway ] && [ -z "${SLIPWAY_REPO:-}" ] && [ -L /opt/slipway/current ]; }
}

say_what_begins() {
  local old=$1 new=$1
  [ -z "$SOURCE" ] || new=$(release_version)
  if [ ! -e "$SETTINGS" ]; then
    say "Installing Slipway $new. That takes two to five minutes, most of them for packages."
  elif [ -z "$old" ]; then
    say "Installing Slipway $new, for the settings and the data that are here."
  elif [ "$old" = "$new" ]; then
    say "Repairing Slipway $new."
  else
    say "Upgrading Slipway: $old → $new."
  fi
  say "What it does is also in $LOG, and there what apt, pip and npm say."
}

# Before anything else is made: by it, what is there goes away again, however the server was installed and how far.
keep_installer() {
  [ -n "$SOURCE" ] || return 0
  mkdir -p /opt/slipway
  install -m 755 "$SOURCE/install.sh" "$KEPT.new"
  mv "$KEPT.new" "$KEPT"
}

# Raises the old release again, whole: half an upgrade is worse than none.
go_back() {
  local old=$1
  shift
  if [ -n "$old" ] && [ -d "/opt/slipway/$old" ] && [ "$(readlink /opt/slipway/current)" != "$old" ]; then
    say "The new release does not come up. Going back to the one before."
    ln -sfn "$old" /opt/slipway/current.new
    mv -T /opt/slipway/current.new /opt/slipway/current
    /opt/slipway/current/venv/bin/python -I -m slipway server install "$@" >/dev/null || true
    fail "the upgrade failed and was undone; what went wrong stands above and in $LOG"
  fi
  fail "Slipway could not be started; what went wrong stands above and in $LOG. Mend it, and run this again."
}

check_machine() {
  [ "$(id -u)" = 0 ] || fail "a server is set up as root: sudo ./install.sh (or try it as yourself: ./install.sh --try)"
  [ -d /run/systemd/system ] || fail "systemd does not run this machine, so that it cannot be a server. \
To try Slipway here all the same, in a checkout of it: ./install.sh --try"
  check_system
  check_memory
  check_disk
  [ -e "$SETTINGS" ] || refuse_other_servers
}

check_system() {
  local system
  # shellcheck source=/dev/null
  system=$(. /etc/os-release && echo "$ID-${VERSION_ID:-}")
  case $system in
    debian-12 | debian-13 | ubuntu-24.04) ;;
    *) fail "this is $system; Slipway is made for Debian 12 and 13 and Ubuntu 24.04" ;;
  esac
}

check_memory() {
  local memory swap
  memory=$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)
  swap=$(awk '$1 == "SwapTotal:" { print int($2 / 1024) }' /proc/meminfo)
  [ "$memory" -ge "$LEAST_MEMORY" ] || fail "this machine has $memory MB of memory; Slipway needs $LEAST_MEMORY"
  if [ "$memory" -lt "$SMALL_MEMORY" ] && [ "$swap" -lt 500 ]; then
    fail "this machine has $memory MB of memory and $swap MB of swap; with so little memory it needs 1 GB of swap:
  fallocate -l 1G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile
  echo '/swapfile none swap sw 0 0' >>/etc/fstab"
  fi
}

check_disk() {
  local free
  free=$(df --output=avail -m /opt | tail -n 1 | tr -d ' ')
  [ "$free" -ge "$LEAST_DISK" ] || fail "only $free MB of disk are free; Slipway needs $LEAST_DISK to begin with"
}

# Slipway's nginx answers on these; what somebody else serves here is not pushed aside.
refuse_other_servers() {
  local port
  for port in 80 443; do
    ! is_taken "$port" || fail "something else listens on port $port of this machine, which Slipway needs. \
Stop it first (ss -ltnp shows what it is); on a machine that serves other things, use ./install.sh --try in a checkout"
  done
}

# Debian's packages would start an nginx and make a database cluster of their own: Slipway's units run both its way.
install_server_packages() {
  mkdir -p /etc/postgresql-common/createcluster.d
  echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/slipway.conf
  systemctl mask --quiet nginx.service 2>/dev/null
  # Installed, and left alone: whether it installs security updates is decided in the panel.
  if [ -n "$(missing_packages unattended-upgrades)" ]; then
    echo "unattended-upgrades unattended-upgrades/enable_auto_updates boolean false" | debconf-set-selections
  fi
  PACKAGES_RECORD=/opt/slipway/packages
  [ -z "${SLIPWAY_FETCHED_WITH:-}" ] || echo "$SLIPWAY_FETCHED_WITH" >>"$PACKAGES_RECORD"
  install_packages "${PACKAGES[@]}" "${PACKAGES_OF_A_SERVER[@]}"
}

make_server_command() {
  cat >/usr/local/bin/slipway.new <<'TEXT'
#!/bin/sh
# Slipway's command line. It asks the daemon over root's socket, or a server elsewhere by SLIPWAY_URL and SLIPWAY_TOKEN.
exec /opt/slipway/current/venv/bin/python -I -m slipway "$@"
TEXT
  chmod 755 /usr/local/bin/slipway.new
  mv /usr/local/bin/slipway.new /usr/local/bin/slipway
}

say_where() {
  local address fingerprint
  address=$(sed -n 's/^address //p' <<<"$1")
  fingerprint=$(sed -n 's/^fingerprint //p' <<<"$1")
  cat <<TEXT

Slipway runs.

  The panel      $address
$(first_contact "$fingerprint")
$(way_in "$address")

Apps are at <name>.${address#https://}. On this machine, \`slipway --help\` shows the commands.
$(security_updates)
Slipway is removed by \`sudo $KEPT --uninstall\`, with --with-data also what it keeps.
TEXT
}

# Nothing where the panel has a certificate that browsers know.
first_contact() {
  [ -z "$1" ] || cat <<TEXT
  Its certificate is of its own making until it has a real one: your browser will ask you once.
  SHA-256        $1
TEXT
}

# A setup link would void the one before it: only where nobody has an account yet.
way_in() {
  if /usr/local/bin/slipway status --json | grep -q '"has_accounts": *true'; then
    echo "  Sign in at     $1/sign-in"
  else
    echo "  Your account   $(/usr/local/bin/slipway setup-link)      (works once, for a day)"
  fi
}

security_updates() {
  ! /usr/local/bin/slipway system show --json | grep -q '"security_updates": *"off"' || cat <<'TEXT'
The operating system's security updates do not install themselves: `slipway system security-updates on` has them do so.
TEXT
}

# ---- taking it away ------------------------------------------------------------------------------------------------

PROGRAM_FOLDERS=(/run/slipway /var/cache/slipway /var/log/slipway)
DATA_FOLDERS=(/srv/slipway /var/lib/slipway)

# Whatever is there: an install, or a removal, may have been ended anywhere. What the rest is found by goes last.
uninstall_server() {
  [ "$(id -u)" = 0 ] || fail "this needs root: sudo $KEPT --uninstall"
  [ -e /opt/slipway ] || [ -e /etc/slipway ] || fail "there is no Slipway on this machine"
  [ ! -e "$SETTINGS" ] || stop_server
  systemctl unmask --quiet nginx.service
  rm -f /etc/postgresql-common/createcluster.d/slipway.conf /usr/local/bin/slipway /usr/local/bin/slipway.new
  rm -rf "${PROGRAM_FOLDERS[@]}"
  [ ! -d /opt/slipway ] || \
    find /opt/slipway -mindepth 1 -maxdepth 1 ! -name install.sh ! -name packages -exec rm -rf {} +
  if [ "${1:-}" = --with-data ]; then
    remove_data
    say "Slipway is gone, and everything it kept."
  elif [ -e "$SETTINGS" ] || [ -e "${DATA_FOLDERS[0]}" ] || [ -e "${DATA_FOLDERS[1]}" ]; then
    keep_installer
    say "Slipway is gone; its settings and key (/etc/slipway), the apps' data (/srv/slipway), the database \
(/var/lib/slipway) and the logs (/var/log) are still there: an install goes on from them, and \
\`sudo $KEPT --uninstall --with-data\` removes them."
  else
    remove_data # of an install that had not come so far
    say "Slipway is gone. The install was ended before there was anything to keep."
  fi
}

# Its units, and what it has in the machine's own folders.
stop_server() {
  local units=(/etc/systemd/system/slipway-*)
  if [ -x /opt/slipway/current/venv/bin/python ]; then
    (cd / && /opt/slipway/current/venv/bin/python -I -m slipway server uninstall)
  elif [ -e "${units[0]}" ]; then
    fail "Slipway's units are here, but /opt/slipway/current, which removes them, is not. Install it again first."
  fi
}

remove_data() {
  local id=""
  [ ! -e "$SETTINGS" ] || id=$(setting id)
  rm -rf "${DATA_FOLDERS[@]}"
  if [ -n "$id" ]; then
    rm -rf /{var,run}/log/journal/*."slipway-$id"-*
    remove_users "$id" "$(setting first_uid)" "$(setting uids)"
  fi
  say_packages_that_stay
  rm -rf /etc/slipway "$LOG"* /opt/slipway
}

say_packages_that_stay() {
  local name names=()
  while read -r name; do
    [ -n "$(missing_packages "$name")" ] || names+=("$name")
  done < <(sort -u /opt/slipway/packages 2>/dev/null)
  [ ${#names[@]} = 0 ] || say "The Debian packages that were installed for it stay: ${names[*]}"
  ! packages_are_unfinished || say "Debian's packages are half installed; this finishes them:
  dpkg --configure -a; apt-get install --fix-broken"
}

setting() { sed -n "s/^$1 = \"\{0,1\}\([a-z0-9]*\)\"\{0,1\}\$/\1/p" "$SETTINGS" | head -n 1; }

# Only after their files: a user's number may be given to somebody else.
remove_users() {
  local id=$1 first=$2 count=$3 kind name
  for kind in passwd group; do
    while read -r name; do
      if [ $kind = passwd ]; then userdel "$name"; else groupdel "$name"; fi
    done < <(getent "$kind" | awk -F: -v names="^(slipway|slipway-.*|sl-$id-.*)\$" -v first="$first" -v count="$count" \
      '$1 ~ names && $3 >= first && $3 < first + count { print $1 }')
  done
}

# ---- the code, where there is only this file -----------------------------------------------------------------------

# Piped into bash: get the rest by Git, and go on there.
fetch_and_go_on() {
  [ -n "${SLIPWAY_REPO:-}" ] || fail "set SLIPWAY_REPO to the Git address that Slipway is to be installed from"
  [ "$(id -u)" = 0 ] || fail "a server is set up as root: pipe it into \`sudo bash\`"
  check_machine
  if ! command -v git >/dev/null; then
    SLIPWAY_FETCHED_WITH=$(missing_packages git ca-certificates)
    export SLIPWAY_FETCHED_WITH
    install_packages git ca-certificates
  fi
  FETCHED=$(mktemp -d /tmp/slipway-install.XXXXXX)
  trap 'rm -rf "$FETCHED"' EXIT
  say "Fetching Slipway ${SLIPWAY_VERSION:-} from $SLIPWAY_REPO"
  quietly git clone --quiet --depth 1 ${SLIPWAY_VERSION:+--branch "$SLIPWAY_VERSION"} -- "$SLIPWAY_REPO" "$FETCHED"
  trap : INT TERM HUP # who goes on there says what that means, and is waited for
  bash "$FETCHED/install.sh" "$@"
  exit
}

step() { say "[$1/4] $2"; }

# ---- local mode ----------------------------------------------------------------------------------------------------

try_here() {
  local state=$1 port=$2 example=$3 tls=$4 arguments
  [ -n "$SOURCE" ] || fail "to try Slipway, get it by \`git clone\`, and run ./install.sh --try in what you got"
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
  exec "$state/bin/slipway" local "${arguments[@]}" 3>&- 4>&-
}

# Said before anything is made. An installation that is there already may itself be what listens: `up` looks then.
refuse_taken() {
  local port=$1
  [[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || fail "$port is not a port from 1 to 65535"
  ! is_taken "$port" || fail "something else listens on port $port of this machine. Choose another with --port."
}

# Whether something listens on a port (/proc/net/tcp, proc(5)).
is_taken() {
  local end
  printf -v end ':%04X' "$1"
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v end="$end" \
    '$4 == "0A" && substr($2, length($2) - 4) == end { taken = 1 } END { exit !taken }'
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
  say "Installing packages, and what they need: ${missing[*]}"
  [ -z "$PACKAGES_RECORD" ] || printf '%s\n' "${missing[@]}" >>"$PACKAGES_RECORD"
  # Debian's nginx and PostgreSQL would start servers of their own, which nobody asked for.
  local -x RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
  # A server that has just been made may install updates of its own: that is waited for.
  local install=(apt-get install -y --no-install-recommends --option=DPkg::Lock::Timeout=300)
  quietly apt-get update
  if packages_are_unfinished; then
    say "Finishing packages that were left half installed"
    dpkg --configure -a >>"$DETAILS" 2>&1 </dev/null || true # what it cannot, the next one does
    quietly "${install[@]}" --fix-broken
  fi
  quietly "${install[@]}" "${missing[@]}"
  # apt-get that is interrupted between two packages says that all is well, and then bash may not tell of the signal.
  [ -z "$(missing_packages "$@")" ] || ended_by_signal
}

# As dpkg is left that was ended in the middle.
packages_are_unfinished() {
  [ -n "$(dpkg --audit)" ] || [ -n "$(find /var/lib/dpkg/updates -type f)" ]
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
    # A server's, from here on: a power cut must not leave it with empty files.
    [ -n "$state" ] || sync --file-system "$release.new"
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
  make_once "$made" make_environment "$made"
  link_tree "$made" "$release/venv"
  [ "$(id -u)" = 0 ] || current=$state/opt/slipway/current
  site=$(echo "$release"/venv/lib/python3.*/site-packages)
  rm -f "$site"/slipway*.pth # of another checkout
  echo "$current/backend" >"$site/slipway.pth"
  mapfile -t scripts < <(grep -lI '^#!.*/python' "$release"/venv/bin/*)
  sed -i "1s|^#!.*|#!$current/venv/bin/python|" "${scripts[@]}" # they name the place they were made at
  "$release/venv/bin/python" -m compileall -q "$release/backend"
}

# Two installations may share their parts and begin at once.
make_once() {
  local made=$1 lock
  shift
  [ ! -d "$made" ] || return 0
  mkdir -p "$(dirname "$made")"
  exec {lock}>"$made.lock"
  flock "$lock"
  [ -d "$made" ] || "$@"
  exec {lock}>&-
}

make_environment() {
  local made=$1
  say "Installing Slipway's Python packages"
  rm -rf "$made.new"
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
  make_once "$made" make_assets "$made"
  [ ! -d "$made/node_modules" ] || link_tree "$made/node_modules" "$release/ui/node_modules"
}

make_assets() {
  local made=$1
  say "Installing the pages' JavaScript packages"
  rm -rf "$made.new"
  mkdir -p "$made.new"
  cp "$SOURCE"/ui/package*.json "$made.new/"
  # npm would keep its cache and logs in the home of whoever installs.
  (cd "$made.new" && quietly npm ci --cache "$made.new/.npm" --ignore-scripts --no-audit --no-fund --no-update-notifier)
  rm -rf "$made.new/.npm"
  mv "$made.new" "$made"
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

# pip and npm bring lists of their own; what this machine's administrator trusts stands in the system's.
trust_authorities() {
  local system=/etc/ssl/certs/ca-certificates.crt
  [ ! -f "$system" ] || export PIP_CERT="${PIP_CERT:-$system}" NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-$system}"
}

# ---- words -------------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "install.sh: $*"
  exit 1
}

ended_by_signal() {
  local back=""
  trap '' INT TERM HUP
  [ "$DETAILS" != "$LOG" ] || [ -e "$SETTINGS" ] || back=" To take back what was done: $KEPT --uninstall"
  fail "ended in the middle. The same command again goes on from here.$back"
}

DETAILS=/dev/fd/4 # where what commands say is kept; here, as long as this runs
PACKAGES_RECORD="" # where it is kept which packages were not there before

# Show what a command said only if it failed.
quietly() {
  local before
  before=$(wc -c <"$DETAILS")
  if ! "$@" >>"$DETAILS" 2>&1 </dev/null; then
    say "$* failed:"
    tail -c "+$((before + 1))" "$DETAILS" | tail -n 40 >&3
    [ "$DETAILS" != "$LOG" ] || say "All that it said is in $LOG. The same command again goes on from here."
    return 1
  fi
}

if [ "${BASH_SOURCE[0]:-$0}" = "$0" ]; then
  main "$@"
  exit # whatever became of this file meanwhile
fi
