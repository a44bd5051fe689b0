/*
 * --dump-acpi: each ACPI table as it lies in guest memory, in a file of its own. iasl -d makes text
 * of them.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/dry_run.h"

/* System calls: mkdir, and for files open, write, close. */

/* dir/dsdt.dat */
static int dump_table(const struct memory *memory, const struct place *place, const char *dir,
		      struct error *err)
{
	const char *signature = place->name + strlen(ACPI_PLACE);
	char path[4096], name[5] = "";
	FILE *out;
	bool ok;

	for (size_t i = 0; i < strlen(signature) && i < sizeof(name) - 1; i++)
		name[i] = (char)tolower((unsigned char)signature[i]);
	if (snprintf(path, sizeof(path), "%s/%s.dat", dir, name) >= (int)sizeof(path))
		return error_set(err, "the directory's name '%.60s...' is too long", dir);
	out = fopen(path, "we");
	ok = out && fwrite(memory_at(memory, place->gpa, place->bytes), place->bytes, 1, out) == 1;
	if (out && fclose(out) == 0 && ok)
		return 0;
	return error_set(err, "cannot write '%s': %s", path, strerror(errno));
}

int dry_run_dump_acpi(const struct boot_plan *plan, const char *dir, struct error *err)
{
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return error_set(err, "cannot make the directory '%s': %s", dir, strerror(errno));
	for (unsigned i = 0; i < plan->map.places; i++) {
		const struct place *place = &plan->map.place[i];

		if (strncmp(place->name, ACPI_PLACE, strlen(ACPI_PLACE)) == 0 &&
		    dump_table(plan->map.memory, place, dir, err))
			return error_prefix(err, "cannot dump the ACPI tables");
	}
	return 0;
}
