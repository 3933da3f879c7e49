# Sets up a Debian 12 machine for building and testing. Sourced by scripts/test and scripts/run;
# installs only what is missing and says so; a second run changes nothing.

# shellcheck disable=SC2034  # the scripts that source this file use the lists of packages
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# HOME may be unset in CI; cargo and pip want one.
if [ -z "${HOME:-}" ]; then
    HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
    export HOME
fi
# shellcheck disable=SC1091
if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then . "$HOME/.cargo/env"; fi

# What is built with: a C and C++ compiler (the cryptographic provider, libFuzzer).
build_packages=(build-essential ca-certificates git pkg-config)
# What the image is made with, and the machines that it is booted in.
image_packages=(binutils cpio cryptsetup-bin dosfstools erofs-utils faketime fdisk kmod mtools openssl
    ovmf qemu-system-x86 qemu-utils sbsigntool swtpm systemd-boot-efi zstd)
# What the network of the appliance is tried against.
network_packages=(chrony dnsmasq-base iputils-ping tzdata)
# What tests and bundles are checked with: real clients, a browser and what drives it, a software HSM,
# stock verifiers, ss(8), an SSH server, and the file systems of a machine that is off.
test_packages=(age chromium e2fsprogs fonts-dejavu-core iproute2 openssh-client
    openssh-server openssl procps python3 python3-venv softhsm2 tmux)
# The browser's driver comes by npm. Where somebody has it from elsewhere, Debian's would drive that out
# or cannot be installed beside it.
command -v npm >/dev/null || test_packages+=(nodejs npm)

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install_packages NAME...: installs those of the named Debian packages that are missing. A package
# can drive out one that was there in another version, so it looks again afterwards.
install_packages() {
    local missing round package
    local -A came=()
    for round in 1 2 3; do
        find_missing "$@"
        for package in "${missing[@]}"; do came[$package]=1; done
        if [ ${#missing[@]} = 0 ]; then
            stop_services
            say "Debian packages: all there"
            return
        fi
        [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
            fail "these packages are missing and only root can install them: ${missing[*]}"
        say "installing Debian packages: ${missing[*]}"
        [ "$round" != 1 ] || as_root apt-get update -qq
        # All in one step where that works; apt now and then finds no way for many at once that it
        # finds for each.
        apt_install "${missing[@]}" >/dev/null 2>&1 && continue
        for package in "${missing[@]}"; do
            apt_install "$package" >/dev/null ||
                fail "the Debian package $package cannot be installed"
        done
    done
    find_missing "$@"
    [ ${#missing[@]} = 0 ] ||
        fail "these Debian packages drive each other out: ${missing[*]}; see apt-cache policy"
    stop_services
}

# stop_services: what has just come (`came` of the caller) is wanted as a program; a service of this
# machine that its owner did not ask for is none. One that was there before is left as it is.
stop_services() {
    [ -d /run/systemd/system ] || return 0
    local package
    for package in openssh-server:ssh chrony:chrony; do
        [ -n "${came[${package%:*}]:-}" ] || continue
        say "stopping ${package#*:}.service, which came with ${package%:*}: only its program is used"
        as_root systemctl disable --quiet --now "${package#*:}.service" || true
    done
}

# find_missing NAME...: puts those that are not installed into `missing` of the caller.
find_missing() {
    missing=()
    for package in "$@"; do
        if ! dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed'; then
            missing+=("$package")
        fi
    done
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# find_rust: makes sure that cargo is the pinned version, through rustup where there is one.
find_rust() {
    local pinned minor toolchain
    pinned=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    minor=${pinned%.*}
    if command -v rustup >/dev/null && ! rustc --version >/dev/null 2>&1; then
        say "installing Rust $pinned"
        rustup toolchain install "$pinned" --profile minimal --component rustfmt,clippy || true
    fi
    # The pinned toolchain cannot be had, but another name may stand for the same release.
    if command -v rustup >/dev/null && ! rustc --version >/dev/null 2>&1; then
        for toolchain in $(rustup toolchain list | cut -d' ' -f1); do
            if rustup run "$toolchain" rustc --version 2>/dev/null | grep -q "^rustc $minor"; then
                export RUSTUP_TOOLCHAIN=$toolchain
            fi
        done
    fi
    command -v cargo >/dev/null || fail "no cargo; install Rust $pinned (https://rustup.rs)"
    rustc --version | grep -q "^rustc ${minor//./\\.}\." ||
        fail "Rust $pinned is needed, found: $(rustc --version 2>&1 | head -1)"
    if ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
        fail "rustfmt or clippy is missing: rustup component add rustfmt clippy"
    fi
    say "$(rustc --version)"
}
