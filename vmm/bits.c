/*
 * Names instead of numbers: see bits.h.
 */
#include "vmm/bits.h"

#include "vmm/format.h"

char *bit_names(u64 value, const struct bit_name *names, size_t count, char *text, size_t bytes)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		if ((value & names[i].mask) != names[i].mask)
			continue;
		value &= ~names[i].mask;
		used += format_text(text + used, bytes - used, "%s%s", used ? "," : "",
				    names[i].name);
	}
	if (value)
		format_text(text + used, bytes - used, "%s0x%llx", used ? "," : "", value);
	return text;
}
