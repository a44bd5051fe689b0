/* How COMMAND is to be run: see config.h. */
#include <string.h>

#include "boot/init/config.h"
#include "boot/init/protocol.h"
#include "boot/init/text.h"

size_t config_pointers(const char *text, size_t bytes)
{
	size_t records = 0;

	for (size_t i = 0; i < bytes; i++)
		records += !text[i];
	/* In each of the two vectors all of them, the defaults and the NULL. */
	return 2 * (records + CONFIG_DEFAULTS + 1);
}

/* A variable's value if it has this name, else NULL. */
static const char *env_value(const char *record, const char *name)
{
	const char *end = strchr(name, '=');
	const size_t length = end ? (size_t)(end - name) : strlen(name);

	return !strncmp(record, name, length) && record[length] == '=' ? record + length + 1 : NULL;
}

const char *env_find(const struct init_config *config, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; i < config->env_count && !value; i++)
		value = env_value(config->env[i], name);
	return value;
}

void env_set(struct init_config *config, char *record)
{
	for (size_t i = 0; i < config->env_count; i++)
		if (env_value(config->env[i], record)) {
			config->env[i] = record;
			return;
		}
	config->env[config->env_count++] = record;
	config->env[config->env_count] = NULL;
}

static bool take_record(struct init_config *config, const char *key, char *value)
{
	const struct {
		const char *key;
		char **value;
	} single[] = {
		{INIT_DIR, &config->dir},           {INIT_USER, &config->user},
		{INIT_HOSTNAME, &config->hostname}, {INIT_ADDRESS, &config->address},
		{INIT_GATEWAY, &config->gateway},   {INIT_NAMESERVER, &config->nameserver},
	};

	for (size_t i = 0; i < ARRAY_LEN(single); i++)
		if (!strcmp(key, single[i].key)) {
			*single[i].value = value;
			return true;
		}
	if (!strcmp(key, INIT_ARG))
		config->args[config->arg_count++] = value;
	else if (!strcmp(key, INIT_ENV) && strchr(value, '='))
		env_set(config, value);
	else if (!strcmp(key, INIT_TTY))
		return config->tty = text_to_numbers(value, 2, UINT16_MAX, config->tty_size);
	else
		return false;
	return true;
}

const char *config_parse(struct init_config *config, char *text, size_t bytes, char **pointers)
{
	const size_t half = config_pointers(text, bytes) / 2;
	const char *end = text + bytes;

	*config = (struct init_config){.args = pointers, .env = pointers + half};
	if (!bytes || end[-1])
		return "the configuration's end is missing";
	while (text < end) {
		char *value = text, *key;

		text += strlen(text) + 1;
		key = text_split(&value, '=');
		if (!value || !take_record(config, key, value))
			return "the configuration has a record that this init doesn't know";
	}
	if (!config->arg_count)
		return "the configuration has no command";
	config->args[config->arg_count] = config->env[config->env_count] = NULL;
	return NULL;
}
