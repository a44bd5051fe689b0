/*
 * The values of options, sizes and times for example: see options.h.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/options.h"

bool options_duration(const char *text, u64 *ns)
{
	static const struct {
		const char *unit;
		u64 ns;
	} units[] = {{"", 1000000000U},
		     {"ms", 1000000U},
		     {"s", 1000000000U},
		     {"m", 60000000000ULL},
		     {"h", 3600 * 1000000000ULL}};
	unsigned long long value;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(end, units[i].unit) == 0)
			return !errno && !__builtin_mul_overflow(value, units[i].ns, ns) &&
			       *ns <= INT64_MAX;
	}
	return false;
}

bool options_size(const char *text, u64 *bytes)
{
	static const char suffixes[] = "KMGT";
	unsigned long long value;
	unsigned shift = 20;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end) {
		const char *suffix = strchr(suffixes, toupper((unsigned char)*end));
		if (!suffix || end[1])
			return false;
		shift = 10 * (unsigned)(suffix - suffixes + 1);
	}
	if (value > UINT64_MAX >> shift)
		return false;
	*bytes = (u64)value << shift;
	return true;
}

bool options_number(const char *text, unsigned long least, unsigned long most, unsigned *number)
{
	char *end;
	const unsigned long value = strtoul(text, &end, 10);

	*number = (unsigned)value;
	return isdigit((unsigned char)text[0]) && !*end && value >= least && value <= most;
}

char *options_split(char *value)
{
	char *to = value;
	char *rest;

	while (*value && (value[0] != ',' || value[1] == ',')) {
		value += *value == ',';
		*to++ = *value++;
	}
	rest = *value ? value + 1 : NULL;
	*to = '\0';
	return rest;
}
