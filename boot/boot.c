/*
 * Puts a kernel and all that it needs into guest memory: see boot.h.
 */
#include "boot/boot.h"

#include <string.h>
#include <unistd.h>

#include "boot/file.h"
#include "boot/kernel.h"
#include "boot/x86/handover.h"
#include "boot/x86/layout.h"

int boot_open_files(struct boot_files *files, const char *kernel, const char *initrd,
		    struct error *err)
{
	struct boot_file file;

	if (file_open(&file, kernel, 0, err))
		return error_prefix(err, "cannot boot '%s'", kernel);
	files->kernel_fd = file.fd;
	if (!initrd)
		return 0;
	if (file_open(&file, initrd, 0, err)) {
		boot_close_files(files);
		return error_prefix(err, "cannot use the initrd '%s'", initrd);
	}
	files->initrd_fd = file.fd;
	return 0;
}

void boot_close_files(struct boot_files *files)
{
	if (files->kernel_fd)
		close(files->kernel_fd);
	if (files->initrd_fd)
		close(files->initrd_fd);
	if (files->image_fd)
		close(files->image_fd);
	*files = (struct boot_files){.kernel_fd = 0};
}

/* Steps 1 and 2: what kind of kernel is it, and read it to where it belongs. */
static int load_kernel(const struct boot_request *request, u64 initrd_bytes, struct boot_plan *plan,
		       struct boot_params *params, struct error *err)
{
	struct kernel_head head;
	struct boot_file file;
	int result;

	if (file_open(&file, request->kernel, request->kernel_fd, err))
		goto name_it;
	result = kernel_recognise(&file, &head, &plan->kernel.kind, err);
	if (result == 0 && plan->kernel.kind == BOOT_BZIMAGE)
		result = bzimage_load(&file, &head, request, initrd_bytes, &plan->map,
				      &plan->kernel, params, err);
	else if (result == 0)
		result = elf_load(&file, &head, request->protocol, 0, &plan->map, &plan->kernel,
				  err);
	file_close(&file);
	if (result == 0)
		return 0;
name_it:
	return error_prefix(err, "cannot boot '%s'", request->kernel);
}

/* Step 3. */
static int load_cmdline(const char *cmdline, struct boot_plan *plan, struct handover *handover,
			struct error *err)
{
	const u64 bytes = strlen(cmdline);
	u64 most = plan->kernel.cmdline_max_bytes;
	void *host;

	if (most > LAYOUT_CMDLINE_MAX - 1)
		most = LAYOUT_CMDLINE_MAX - 1;
	if (bytes > most)
		return error_set(
			err, "the kernel command line has %llu bytes, and this kernel takes %llu",
			bytes, most);
	host = place_at(&plan->map, "command line", LAYOUT_CMDLINE, bytes + 1, err);
	if (!host)
		return -1;
	memcpy(host, cmdline, bytes + 1);
	handover->cmdline_gpa = LAYOUT_CMDLINE;
	handover->cmdline_bytes = bytes;
	return 0;
}

/* The kernel skips zeros between archives, and looks for the next at a multiple of 4. */
static u64 archive_at(const struct boot_file *initrd)
{
	return align_up(initrd->bytes, 4);
}

/* Opens the initrd, if there is one, and tells how long it becomes. */
static int open_initrd(const struct boot_request *request, struct boot_file *file,
		       struct handover *handover, struct error *err)
{
	*file = (struct boot_file){.fd = -1};
	if (request->initrd && file_open(file, request->initrd, request->initrd_fd, err))
		return error_prefix(err, "cannot use the initrd '%s'", request->initrd);
	handover->initrd_bytes = request->archive ? archive_at(file) + request->archive_bytes
						  : file->bytes;
	return 0;
}

/* Step 4. */
static int load_initrd(const struct boot_request *request, const struct boot_file *file,
		       struct boot_plan *plan, struct handover *handover, struct error *err)
{
	u8 *host;

	if (!handover->initrd_bytes)
		return 0;
	host = place_high(&plan->map, "initrd", handover->initrd_bytes, LAYOUT_HIGH_RAM,
			  plan->kernel.initrd_limit, &handover->initrd_gpa, err);
	if (!host || (request->initrd && file_read(file, 0, host, file->bytes, err)))
		return error_prefix(err, "cannot use the initrd '%s'",
				    request->initrd ? request->initrd : "of COMMAND");
	if (request->archive)
		memcpy(host + archive_at(file), request->archive, request->archive_bytes);
	return 0;
}

/* Step 6: the structures by which the kernel finds all that. */
static int hand_over(struct boot_plan *plan, struct boot_params *params,
		     const struct handover *handover, struct error *err)
{
	if (plan->kernel.protocol == BOOT_PVH) {
		plan->info_gpa = LAYOUT_START_INFO;
		return start_info_place(&plan->map, handover, err);
	}
	plan->info_gpa = LAYOUT_BOOT_PARAMS;
	if (boot_params_place(&plan->map, params, handover, err))
		return -1;
	return long_mode_place(&plan->map, err);
}

int boot_load(const struct boot_request *request, const struct memory *memory,
	      struct boot_plan *plan, struct error *err)
{
	struct boot_params params = {0};
	struct handover handover = {0};
	struct boot_file initrd;
	int result;

	*plan = (struct boot_plan){.map.memory = memory};
	e820_make(&handover, memory);
	if (open_initrd(request, &initrd, &handover, err))
		return -1;
	result = load_kernel(request, handover.initrd_bytes, plan, &params, err) ||
		 load_cmdline(request->cmdline, plan, &handover, err) ||
		 load_initrd(request, &initrd, plan, &handover, err);
	file_close(&initrd);
	if (result)
		return -1;
	/* Step 5: the ACPI tables, the root of which both protocols point to. */
	plan->rsdp_gpa = handover.rsdp_gpa = LAYOUT_ACPI;
	if (acpi_place(&plan->map, LAYOUT_ACPI, LAYOUT_ACPI_SIZE, &request->acpi, err) ||
	    bios_entry_place(&plan->map, request->acpi.reset_port, request->acpi.reset_value, err))
		return -1;
	return hand_over(plan, &params, &handover, err);
}
