# For campaigns that need a system without the project's packages: a minimal root of this machine's
# release, made by debootstrap. Sourced; skip() ends with status 77 and the reason, fail() with 1.
# After prepare_root, $work is a folder that goes away with the script, and $root is in it.

skip() {
  echo "skipped: $*"
  exit 77
}
fail() {
  echo "error: $*" >&2
  exit 1
}

# Skips where this machine cannot make such a root.
prepare_root() {
  local tool
  [[ $EUID -eq 0 ]] || skip "needs root, to make and enter the root of another system"
  for tool in debootstrap dpkg-deb apt-get unshare; do
    command -v "$tool" >/dev/null || skip "needs $tool: apt-get install debootstrap"
  done
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' |
    awk -v suite="$codename" '$2 == suite && $3 == "main" {print $1; exit}')
  [[ -n $mirror ]] || skip "apt knows no package lists of '$codename'; run apt-get update"
  work=$(mktemp -d)
  trap 'rm -rf --one-file-system "$work"' EXIT
  root=$work/root
}

# make_root [OPTION...]: fills it. Options are debootstrap's.
make_root() {
  echo "== a minimal $codename"
  debootstrap --variant=minbase "$@" "$codename" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 || {
    tail -n 3 "$work/debootstrap.log"
    skip "debootstrap could not make a root, see above"
  }
}

# inside COMMAND [ARGUMENT...]: lines of the shell in the new root, with /proc while they run.
inside() {
  unshare --mount bash -c '
    root=$1
    shift
    mount -t proc proc "$root/proc"
    exec chroot "$root" /bin/sh -euc "$1" inside "${@:2}"' inside "$root" "$@"
}
