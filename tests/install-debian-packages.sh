#!/bin/sh
# Install the packages of debian-packages.txt if this machine allows it. This script never fails: a test without its
# program is skipped, and says so.
cd "$(dirname "$0")" || exit 0

missing= failed=
while read -r package; do
    case $(dpkg-query --show --showformat '${Status}' "$package" 2>&1) in
        *' installed') ;;
        *) missing="$missing $package" ;;
    esac
done < debian-packages.txt
[ -n "$missing" ] || exit 0

if ! command -v apt-get > /dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "Tests that need$missing may be skipped. As root on Debian: apt-get install --no-install-recommends$missing"
    exit 0
fi

# Debian runs this before it starts a daemon; exit status 101 forbids the start.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod +x $policy
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
echo "Installing for the tests:$missing"
apt-get update --quiet > "$log" 2>&1
for package in $missing; do
    apt-get install --quiet --yes --no-install-recommends -o DPkg::Lock::Timeout=60 "$package" >> "$log" 2>&1 < /dev/null ||
        failed="$failed $package"
done
if [ -n "$failed" ]; then
    tail -n 5 "$log"
    echo "Tests that need$failed are skipped: apt-get could not install it (see the reason above)."
fi
rm -f "$log"
