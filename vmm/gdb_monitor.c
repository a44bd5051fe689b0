/*
 * gdb's `monitor`: what its protocol has no packets for. See gdb.h.
 *
 * A command fills GDB_TEXT_BYTES of text, which gdb prints.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "vmm/gdb.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

enum { XP_BYTES = 1024, XP_ROW = 16, LINE_BYTES = 128 };

void gdb_kill(struct gdb *gdb)
{
	machine_end(gdb->machine, VERDICT_SIGNAL, SIGKILL, "gdb ended the machine");
}

static void monitor_help(struct gdb *gdb, const char *args, char *text)
{
	(void)gdb, (void)args;
	snprintf(text, GDB_TEXT_BYTES,
		 "help               this\n"
		 "registers          the chosen vCPU's, with their bits' names and page walks\n"
		 "xp ADDR [BYTES]    guest physical memory, in hexadecimal\n"
		 "reset              as if the guest had reset the machine\n"
		 "quit               end the machine, as kill does\n");
}

static void monitor_registers(struct gdb *gdb, const char *args, char *text)
{
	struct death death = {.used = 0};

	(void)args;
	death_registers(&death, &gdb->machine->vcpu[gdb->thread]);
	snprintf(text, GDB_TEXT_BYTES, "%s", death.text);
}

/* Numbers are hexadecimal, with or without 0x. */
static bool parse_word(const char **args, u64 *number)
{
	*args += strspn(*args, " ");
	if (strncmp(*args, "0x", 2) == 0)
		*args += 2;
	return gdb_number(args, number);
}

static void monitor_xp(struct gdb *gdb, const char *args, char *text)
{
	u8 bytes[XP_BYTES];
	u64 gpa, count = XP_ROW;
	size_t used = 0;

	if (!parse_word(&args, &gpa) || (*args && !parse_word(&args, &count)) || *args ||
	    count > sizeof(bytes)) {
		snprintf(text, GDB_TEXT_BYTES, "xp ADDR [BYTES], in hexadecimal; %x at most\n",
			 XP_BYTES);
		return;
	}
	if (!memory_read(&gdb->machine->memory, gpa, bytes, count)) {
		snprintf(text, GDB_TEXT_BYTES, "not all of that is RAM\n");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (i % XP_ROW == 0)
			used += (size_t)snprintf(text + used, GDB_TEXT_BYTES - used,
						 "%s%llx:", i ? "\n" : "", gpa + i);
		used += (size_t)snprintf(text + used, GDB_TEXT_BYTES - used, " %02x", bytes[i]);
	}
	snprintf(text + used, GDB_TEXT_BYTES - used, "\n");
}

static void monitor_reset(struct gdb *gdb, const char *args, char *text)
{
	(void)args;
	machine_end(gdb->machine, VERDICT_RESET, 0, "gdb reset the machine");
	snprintf(text, GDB_TEXT_BYTES, "%s",
		 gdb->machine->config->restart
			 ? "reset; 'maintenance flush register-cache' shows the new registers\n"
			 : "reset; without --on-reset restart that is the machine's end\n");
}

static void monitor_quit(struct gdb *gdb, const char *args, char *text)
{
	(void)args;
	gdb_kill(gdb);
	snprintf(text, GDB_TEXT_BYTES, "the machine ends\n");
}

void gdb_monitor(struct gdb *gdb, const char *hex, char *text)
{
	static const struct {
		const char *name;
		void (*run)(struct gdb *gdb, const char *args, char *text);
	} commands[] = {{"help", monitor_help},
			{"registers", monitor_registers},
			{"xp", monitor_xp},
			{"reset", monitor_reset},
			{"quit", monitor_quit}};
	char line[LINE_BYTES];
	size_t word;

	line[gdb_unhex(hex, (u8 *)line, sizeof(line) - 1)] = '\0';
	word = strcspn(line, " ");
	snprintf(text, GDB_TEXT_BYTES, "no such command; 'monitor help' lists them\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strlen(commands[i].name) == word && strncmp(line, commands[i].name, word) == 0)
			commands[i].run(gdb, line + word, text);
	}
}
