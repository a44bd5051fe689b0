# shellcheck shell=bash
# tools/packages.sh - the Debian and Ubuntu packages that bantam's tools need, and how to get them.
#
# Source it, then call `packages_need GROUP...`. It asks dpkg (never apt) what is missing, so that
# the usual case, nothing, takes milliseconds and says nothing. What is missing is installed with
# apt: directly as root, through sudo otherwise. Where neither is possible the one command to run is
# printed and the function returns 1.
#
# A list entry is a package, or alternatives `a|b`: any of them will do when it is installed;
# otherwise the first that apt knows is installed. `a|-` may also be left out altogether, where a
# release has no such package (compiler-rt is a package of its own only on some).
#
# Limits: Debian and Ubuntu only, amd64 only. On anything else the function says what it looked for
# and returns 1. No package is ever removed or upgraded on purpose; note that Debian's
# busybox-static replaces busybox.

# packages_of GROUP: prints the group's entries.
packages_of() {
	case $1 in
	build) # a compiler and what the program itself includes
		echo 'gcc make libc6-dev linux-libc-dev musl-tools'
		;;
	boot) # to fetch a stock kernel, take it apart, and make a small initramfs for it
		echo 'busybox-static cpio gzip xz-utils zstd lz4'
		;;
	kvmhost) # a software-emulated machine with KVM, for where there is no other
		packages_of boot
		echo 'qemu-system-x86 util-linux'
		;;
	images) # disk images for guests, with what their tests run in them
		echo 'busybox-static e2fsprogs ethtool fio iperf3 mmdebstrap socat uidmap util-linux'
		;;
	test) # all tiers of tests
		packages_of kvmhost
		packages_of images
		echo 'libcmocka-dev clang llvm libclang-rt-dev|libclang-rt-14-dev|- acpica-tools'
		echo 'python3 python3-yaml fakeroot file gdb git iproute2 iperf3 openssh-client passt strace'
		echo 'chromium|-' # shows the page of --report
		echo 'man-db zsh lintian dpkg-dev' # the manual page, completions, the package
		;;
	lint) # formatting and static analysis
		echo 'clang-format clang-tidy cppcheck shellcheck'
		;;
	*)
		echo "packages: no group $1" >&2
		return 1
		;;
	esac
}

# packages_installed NAME: true when dpkg has NAME fully installed.
packages_installed() {
	# The ${...} is dpkg-query's, not the shell's.
	# shellcheck disable=SC2016
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# packages_known NAME: true when apt could install NAME.
packages_known() {
	apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

# packages_has_lists: true when apt knows any package of a repository.
packages_has_lists() {
	compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null
}

# packages_root COMMAND...: COMMAND with root's rights; COMMAND is not run and 1 is returned without
# them.
packages_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif packages_may_sudo; then
		sudo -- "$@"
	else
		return 1
	fi
}

# packages_may_sudo: true when sudo works at once, or there is a person to give it a password.
packages_may_sudo() {
	command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 2 ]; }; }
}

# packages_missing ENTRY...: prints the names to install, one a line, so that every ENTRY is
# satisfied.
packages_missing() {
	local entry name names pick

	for entry in "$@"; do
		IFS='|' read -r -a names <<<"$entry"
		for name in "${names[@]}"; do
			packages_installed "$name" && continue 2
		done
		pick=${names[0]}
		if [ "${#names[@]}" -gt 1 ]; then
			for name in "${names[@]}"; do
				if [ "$name" = - ]; then
					pick=
				elif packages_known "$name"; then
					pick=$name
					break
				fi
			done
		fi
		[ -z "$pick" ] || echo "$pick"
	done
}

# packages_apt LOG NAME...: installs, and refreshes apt's lists after a failure: lists older than
# the repository name files that are gone.
packages_apt() {
	local log=$1
	local get=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
	local install=("${get[@]}" install -y --no-install-recommends --)

	shift
	if packages_root "${install[@]}" "$@" >>"$log" 2>&1 </dev/null; then
		return 0
	fi
	# A failing update is no verdict: one repository of several may be away. The install
	# decides.
	packages_root "${get[@]}" update >>"$log" 2>&1 </dev/null || true
	packages_root "${install[@]}" "$@" >>"$log" 2>&1 </dev/null
}

# packages_need GROUP...: makes every package of the groups be there. 0, or 1 after saying what to
# do.
packages_need() {
	local group list entries=() missing log update=

	for group in "$@"; do
		list=$(packages_of "$group") || return 1
		mapfile -t -O "${#entries[@]}" entries < <(tr -s ' ' '\n' <<<"$list")
	done

	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		echo "packages: not a Debian or Ubuntu system; needed are: ${entries[*]}" >&2
		return 1
	fi

	mapfile -t missing < <(packages_missing "${entries[@]}" | sort -u)
	[ "${#missing[@]}" -gt 0 ] || return 0

	if [ "$(id -u)" -ne 0 ] && ! packages_may_sudo; then
		echo "packages: missing: ${missing[*]}; to install them, run:" >&2
		packages_has_lists || update='sudo apt-get update && '
		echo "${update}sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
		return 1
	fi

	echo "packages: installing ${missing[*]}" >&2
	log=$(mktemp -t bantam-apt.XXXXXX) || return 1
	if ! packages_has_lists; then
		packages_root env apt-get -q update >>"$log" 2>&1 </dev/null || true
		# Only now can alternatives be told apart.
		mapfile -t missing < <(packages_missing "${entries[@]}" | sort -u)
	fi
	if ! packages_apt "$log" "${missing[@]}"; then
		tail -n 30 "$log" >&2
		echo "packages: apt-get failed; all of its output: $log" >&2
		return 1
	fi
	rm -f "$log"
}
