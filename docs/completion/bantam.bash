# shellcheck shell=bash
# Completion of bantam's commands, options and values for bash; `make install` puts it where bash looks.
#
# Files are completed by bash itself, for whatever has no words of its own here.

# _bantam_list WORDS: the word under the cursor is a list with commas, whose last part is one of WORDS.
_bantam_list() {
	local part before=
	[[ $cur == *,* ]] && before=${cur%,*},
	for part in $(compgen -W "$1" -- "${cur##*,}"); do
		COMPREPLY+=("$before$part")
	done
}

# _bantam_file WORDS: a file, and behind it a list of WORDS.
_bantam_file() {
	[[ $cur == *,* ]] && _bantam_list "$1"
}

_bantam_value() {
	case $1 in
	--boot-protocol) _bantam_list 'auto linux pvh' ;;
	--unpack) _bantam_list 'auto on off' ;;
	--transport) _bantam_list 'pci mmio' ;;
	--console) _bantam_list 'stdio stderr off' ;;
	--console-device) _bantam_list 'serial virtio' ;;
	--on-reset) _bantam_list 'exit restart' ;;
	--sandbox) _bantam_list 'on audit off' ;;
	--trace) _bantam_list 'boot exits pio mmio msr irq virtio fs all' ;;
	--dry-run) _bantam_list 'json' ;;
	--disk) _bantam_file 'ro ephemeral direct serial= queues= iops= bps=' ;;
	--rootfs) _bantam_file 'ro rw' ;;
	--net)
		if [[ $cur == *,* ]]; then
			_bantam_list 'mac= queues= bps= pps='
		else
			_bantam_list 'user tap= fd= socket='
		fi
		;;
	--user | -u | --run-as) mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
	--env | -e) mapfile -t COMPREPLY < <(compgen -e -- "$cur") ;;
	esac
}

# _bantam_takes_value OPTION: whether the next word is its value.
_bantam_takes_value() {
	case $1 in
	--initrd | --append | -a | --cmdline | --boot-protocol | --unpack | --memory | -m | --cpus | -c | \
		--disk | --net | --publish | -p | --transport | --console | --console-device | --rootfs | \
		--volume | -v | --env | -e | --workdir | -w | --user | -u | --name | --hostname | \
		--modules | --timeout | --stop-timeout | --on-reset | --result | --dump-acpi | --trace | \
		--report | --symbols | --gdb | --sandbox | --run-as) return 0 ;;
	esac
	return 1
}

_bantam_run() {
	local options='--initrd --append --cmdline --boot-protocol --unpack --memory --cpus --disk --net
		--publish --transport --console --console-device --rootfs --volume --expose-home --env
		--workdir --user --tty --interactive --name --hostname --modules --rm --timeout
		--stop-timeout --on-reset --result --dry-run --dump-acpi --trace --report --symbols --gdb --gdb-wait
		--stats --verbose --sandbox --core-scheduling --run-as --help'
	# '=' is a word of its own to bash.
	if [[ $cur == = ]]; then
		cur=
		_bantam_value "$prev"
	elif [[ $prev == = ]]; then
		_bantam_value "${COMP_WORDS[COMP_CWORD - 2]}"
	elif _bantam_takes_value "$prev"; then
		_bantam_value "$prev"
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	fi
}

_bantam() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W 'run check version help --help --version' -- "$cur")
		return
	fi
	case ${COMP_WORDS[1]} in
	run)
		# Behind `--` stands the guest's command.
		for word in "${COMP_WORDS[@]:2:COMP_CWORD-2}"; do
			[[ $word == -- ]] && return
		done
		_bantam_run
		;;
	check) mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$cur") ;;
	help) mapfile -t COMPREPLY < <(compgen -W 'run' -- "$cur") ;;
	esac
	[[ ${COMPREPLY[*]} == *[=,] ]] && compopt -o nospace 2>/dev/null
}

complete -o bashdefault -o default -F _bantam bantam
