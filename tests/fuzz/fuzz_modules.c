/*
 * The file of a kernel module, all of it input (boot/modules.c: modules_depends()).
 *
 * Checked: what a module depends on is text that lies in the file, with its end; the same bytes say
 * the same again; and a refusal gives its reason.
 */
#include <string.h>

#include "boot/modules.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	const char *depends = NULL, *again = NULL;
	struct error err = {.text = ""};
	size_t at;

	if (modules_depends(bytes, count, &depends, &err)) {
		FUZZ_CHECK(err.text[0]);
		return 0;
	}
	FUZZ_CHECK(modules_depends(bytes, count, &again, &err) == 0 && again == depends);
	if (depends[0] == '\0')
		return 0;
	at = (size_t)((const u8 *)depends - bytes);
	FUZZ_CHECK(at < count && memchr(depends, '\0', count - at));
	FUZZ_CHECK(memcmp(bytes + at - strlen("depends="), "depends=", strlen("depends=")) == 0);
	return 0;
}
