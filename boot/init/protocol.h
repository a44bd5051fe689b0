/*
 * What bantam and its init in the guest agree on.
 *
 * Init travels in an archive of its own, which the kernel unpacks over the user's initrd. In the file
 * that the kernel gets, it begins at a multiple of 4 bytes:
 *
 *	/.bantam/init		the program, which rdinit= names
 *	/.bantam/config		how to run COMMAND: the records below
 *	/.bantam/modules/NNN-x	kernel modules, to be loaded in the order of their names; what doesn't
 *				end in .ko is compressed
 *
 * A record of the configuration is KEY=VALUE and a NUL, so a value may hold every other byte. Those
 * with a plural sense (arg, env) come once for each value, in order; of two with the same name, the
 * last counts. Init removes /.bantam before COMMAND runs.
 *
 * In the guest three ports of a virtio console carry the run, found by their names. `stdio` has
 * COMMAND's standard input in one direction and its standard output in the other; with a terminal,
 * both are the terminal's. `stderr` has its standard error. Neither has anything but bytes: how many
 * there were is said on `control`, whose lines are words and decimal numbers between single spaces,
 * ended by a newline, PROTOCOL_LINE_BYTES long at most with it. So the order in which two ports are
 * served doesn't matter to anybody. Control characters in a TEXT are replaced.
 *
 * From the guest:
 *	start			COMMAND runs: execve(2) has succeeded
 *	close stdin		nobody reads standard input any more; what comes is dropped
 *	end stdout N		standard output has ended after N bytes; N counts from the beginning
 *	end stderr N		with a terminal, after none
 *	exit N			COMMAND has ended with this status, 0 to 255
 *	signal N		a signal has ended it, 1 to 127
 *	failed 126|127 TEXT	it can't be executed, or isn't there
 *	error TEXT		init itself can't go on: the configuration's mistake, or the system's
 * One of the last four is the last line. Both ends come before exit and signal; so do the end of all
 * other processes and the writing of all disks, so that the machine may be stopped then: the host does
 * that when it has all the bytes, which lie in the ports' rings until its reader takes them. So init
 * waits as long as that lasts; if the host hangs up, it powers off.
 *
 * To the guest:
 *	size ROWS COLUMNS	of the terminal
 *	signal N		for COMMAND's process group
 *	end stdin N		standard input has ended after N bytes; a terminal gets its
 *				end-of-file character
 *	close stdout		nobody reads standard output any more; a terminal hangs up
 *	close stderr
 * Other lines mean nothing. A host that hangs up ends COMMAND.
 */
#ifndef BOOT_INIT_PROTOCOL_H
#define BOOT_INIT_PROTOCOL_H

#define INIT_DIRECTORY "/.bantam"
#define INIT_PROGRAM   INIT_DIRECTORY "/init"
#define INIT_CONFIG    INIT_DIRECTORY "/config"
#define INIT_MODULES   INIT_DIRECTORY "/modules"

#define INIT_PORT_STDIO   "bantam.stdio"
#define INIT_PORT_STDERR  "bantam.stderr"
#define INIT_PORT_CONTROL "bantam.control"

#define INIT_ARG      "arg"    /* of COMMAND, itself first */
#define INIT_ENV      "env"    /* NAME=VALUE */
#define INIT_ROOT     "root"   /* "TYPE SOURCE cow|rw|ro": what is to be the root directory */
#define INIT_VOLUME   "volume" /* "TAG rw|ro PATH": a virtio-fs and where it goes; 16 at most */
#define INIT_DIR      "dir"    /* working directory */
#define INIT_USER     "user"   /* USER[:GROUP], names of the guest's or numbers */
#define INIT_HOSTNAME "hostname"
#define INIT_TTY      "tty"     /* "ROWS COLUMNS": COMMAND gets a terminal of this size */
#define INIT_ADDRESS  "address" /* of eth0, A.B.C.D/BITS */
#define INIT_GATEWAY  "gateway" /* A.B.C.D */
#define INIT_NAMESERVER                                                                            \
	"nameserver" /* A.B.C.D, for /etc/resolv.conf if it isn't there or is empty */

enum { PROTOCOL_LINE_BYTES = 256 };

#endif
