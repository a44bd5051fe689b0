/*
 * A writer of AML, the byte code in which ACPI tables describe devices.
 *
 * Objects are appended to a buffer in the order in which ASL would write them; what has a length
 * is opened and closed. Only what bantam's own tables need is here. A buffer that is too small is
 * noted in `full` and the rest dropped, so that callers check once, at the end.
 *
 * Source: ACPI 6.5, chapter 20 "ACPI Machine Language", 6.4 "Resource Data Types".
 */
#ifndef BANTAM_BOOT_AML_H
#define BANTAM_BOOT_AML_H

#include "vmm/types.h"

struct aml {
	u8 *bytes;
	size_t used, size;
	bool full;
};

void aml_init(struct aml *aml, void *bytes, size_t size);

/* Appends raw bytes. */
void aml_put(struct aml *aml, const void *bytes, size_t count);

/*
 * Scope(name) { … } and the like, by their byte codes: the name has four letters, and a '\' in front
 * where it begins at the root. What is returned is handed to aml_close().
 */
enum aml_object { AML_SCOPE = 0x10, AML_METHOD = 0x14, AML_DEVICE = 0x5b82 };
size_t aml_open(struct aml *aml, enum aml_object kind, const char *name);
void aml_close(struct aml *aml, size_t opened);

/* Name(name, value). eisa_id: "PNP0501". */
void aml_name_integer(struct aml *aml, const char *name, u64 value);
void aml_name_eisa_id(struct aml *aml, const char *name, const char *eisa_id);
void aml_name_text(struct aml *aml, const char *name, const char *text);
/* Name(name, Package() {values…}). name: or NULL within another package. */
void aml_package(struct aml *aml, const char *name, const u64 *values, u8 count);
/* The same of count packages, each added by aml_package(); aml_close() ends it. */
size_t aml_open_package(struct aml *aml, const char *name, u8 count);

/* Method(name, arguments, Serialized) { … }, and a Notify(device, value) in it; value > 1. */
size_t aml_open_method(struct aml *aml, const char *name, u8 arguments);
void aml_notify(struct aml *aml, const char *device, u8 value);

/* Name(_CRS, ResourceTemplate() { … }). */
size_t aml_open_resources(struct aml *aml);
void aml_close_resources(struct aml *aml, size_t opened);

/* IO(Decode16, base, base, 1, count) and Interrupt(ResourceConsumer, Edge, ActiveHigh,
 * Exclusive) {gsi}. */
void aml_io(struct aml *aml, u16 base, u8 count);
void aml_interrupt_edge(struct aml *aml, u32 gsi);

/* Memory32Fixed(ReadWrite, base, bytes). */
void aml_memory(struct aml *aml, u32 base, u32 bytes);

/*
 * What a bridge passes on to the bus behind it: WordBusNumber, WordIO or DWordMemory(…, MinFixed,
 * MaxFixed, …). base and count: of bus numbers, ports or bytes; below 64 Ki but for memory.
 */
enum aml_window { AML_WINDOW_MEMORY, AML_WINDOW_IO, AML_WINDOW_BUS };
void aml_window(struct aml *aml, enum aml_window kind, u64 base, u64 count);

#endif
