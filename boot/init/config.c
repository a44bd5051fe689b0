/* How COMMAND is to be run: the records of protocol.h's INIT_CONFIG. */
#include <string.h>

#include "boot/init/init.h"

size_t config_pointers(const char *text, size_t bytes)
{
	size_t records = 0;

	for (size_t i = 0; i < bytes; i++)
		records += !text[i];
	/* In each of the two vectors all of them, the defaults and the NULL. */
	return 2 * (records + CONFIG_DEFAULTS + 1);
}

const char *env_find(const struct init_config *config, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; i < config->env_count && !value; i++)
		value = text_after(config->env[i], name);
	return value;
}

/* Puts a variable at the end, or in the place of one with the same name. */
static bool set_variable(struct init_config *config, char *record)
{
	const char *end = strchr(record, '=');
	size_t at = 0;

	if (!end)
		return false;
	while (at < config->env_count &&
	       strncmp(config->env[at], record, (size_t)(end - record) + 1) != 0)
		at++;
	config->env[at] = record;
	config->env_count += at == config->env_count;
	return true;
}

static bool take_record(struct init_config *config, char *record)
{
	const struct {
		const char *key;
		char **value;
	} table[] = {
		{INIT_ARG "=", &config->args[config->arg_count]},
		{INIT_ROOT "=", &config->root},
		{INIT_DIR "=", &config->dir},
		{INIT_USER "=", &config->user},
		{INIT_HOSTNAME "=", &config->hostname},
		{INIT_ADDRESS "=", &config->address},
		{INIT_GATEWAY "=", &config->gateway},
		{INIT_NAMESERVER "=", &config->nameserver},
	};
	char *value = text_after(record, INIT_TTY "=");

	if (value)
		return config->tty = text_to_numbers(value, 2, UINT16_MAX, config->tty_size);
	value = text_after(record, INIT_VOLUME "=");
	if (value && config->volume_count < CONFIG_VOLUMES) {
		config->volume[config->volume_count++] = value;
		return true;
	}
	value = text_after(record, INIT_ENV "=");
	if (value)
		return set_variable(config, value);
	for (size_t i = 0; i < ARRAY_LEN(table) && !value; i++) {
		value = text_after(record, table[i].key);
		if (value)
			*table[i].value = value;
	}
	config->arg_count += config->args[config->arg_count] != NULL;
	return value;
}

const char *config_parse(struct init_config *config, char *text, size_t bytes, char **pointers)
{
	const size_t half = config_pointers(text, bytes) / 2;

	*config = (struct init_config){.args = pointers, .env = pointers + half};
	if (!bytes || text[bytes - 1])
		return "the configuration's end is missing";
	for (size_t at = 0, length; at < bytes; at += length + 1) {
		length = strlen(text + at);
		if (!take_record(config, text + at))
			return "the configuration has a record that this init doesn't know";
	}
	return config->arg_count ? NULL : "the configuration has no command";
}
