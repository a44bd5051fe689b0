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
	u64 value;
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

/* Digits and a suffix; without one the number is shifted as much as is said. */
static bool scaled(const char *text, unsigned shift, u64 *number)
{
	static const char suffixes[] = "KMGT";
	u64 value;
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
	*number = value << shift;
	return true;
}

bool options_size(const char *text, u64 *bytes)
{
	return scaled(text, 20, bytes);
}

bool options_number(const char *text, unsigned long least, unsigned long most, unsigned *number)
{
	char *end;
	const unsigned long value = strtoul(text, &end, 10);

	*number = (unsigned)value;
	return isdigit((unsigned char)text[0]) && !*end && value >= least && value <= most;
}

void options_store(void *into, size_t bytes, unsigned number)
{
	if (bytes == sizeof(bool))
		*(bool *)into = number;
	else
		memcpy(into, &number, sizeof(number));
}

char *options_copy(const char *value, char **rest, struct error *err)
{
	char *copy = strdup(value), *to = copy, *from = copy;

	if (!copy) {
		error_set(err, "no memory for the options");
		return NULL;
	}
	while (*from && (from[0] != ',' || from[1] == ',')) {
		from += *from == ',';
		*to++ = *from++;
	}
	*rest = *from ? from + 1 : NULL;
	*to = '\0';
	return copy;
}

static const struct option_word *find_word(const struct option_words *words, const char *text)
{
	for (size_t i = 0; i < words->count; i++) {
		const char *name = words->word[i].name;
		const size_t length = strlen(name);

		if (strncmp(text, name, length) == 0 && (name[length - 1] == '=' || !text[length]))
			return &words->word[i];
	}
	return NULL;
}

int options_words(const struct option_words *words, void *into, char *rest, struct error *err)
{
	while (rest) {
		const char *text = strsep(&rest, ",");
		const struct option_word *word = find_word(words, text);
		const char *value = word ? text + strlen(word->name) : NULL;
		unsigned number = word ? word->number : 0;
		u64 rate;

		if (!word)
			return error_set(err, "%s: '%s' is not known; %s", words->option, text,
					 words->known);
		if (word->rate &&
		    (!scaled(value, 0, &rate) || rate < word->least || rate > (u64)1 << 62))
			return error_set(err,
					 "%s: %s: it is a number a second, %u at least; "
					 "K, M, G and T are understood",
					 words->option, text, word->least);
		if (word->most && !options_number(value, word->least, word->most, &number))
			return error_set(err, "%s: %s: %u to %u are possible", words->option, text,
					 word->least, word->most);
		if (word->rate)
			memcpy((u8 *)into + word->offset, &rate, sizeof(rate));
		else if (!word->set)
			options_store((u8 *)into + word->offset, word->bytes, number);
		else if (word->set(into, value, err))
			return -1;
	}
	return 0;
}
