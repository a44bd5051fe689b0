/*
 * A vCPU's registers as gdb sees them: see gdb_registers.h.
 */
#include "vmm/x86/gdb_registers.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/kvm.h"
#include "vmm/x86/registers.h"

/*
 * One register, or a run of `count` of them that lie side by side, in the order of gdb's numbers. Of
 * `bytes` that gdb sees `width` are the vCPU's, others are zero.
 */
struct row {
	const char *name,
		*type; /* of a run, the name's first part; a number from `first` on follows */
	unsigned bytes, width;
	size_t offset; /* in struct gdb_registers */
	unsigned count, first, stride;
};

#define OF(member) offsetof(struct gdb_registers, member)
#define GENERAL(name, type)                                                                        \
	{                                                                                          \
#name, type, 8, 8, OF(general.name), 1, 0, 0                                       \
	}
#define SEGMENT(name)                                                                              \
	{                                                                                          \
#name, "int32", 4, 2, OF(system.name.selector), 1, 0, 0                            \
	}
#define X87(name, width, at)                                                                       \
	{                                                                                          \
		name, "int", 4, width, at, 1, 0, 0                                                 \
	}
#define SYSTEM(name, type, at)                                                                     \
	{                                                                                          \
		name, type, 8, 8, OF(system.at), 1, 0, 0                                           \
	}

/* clang-format off */
static const struct row core[] = {
	GENERAL(rax, "int64"), GENERAL(rbx, "int64"), GENERAL(rcx, "int64"), GENERAL(rdx, "int64"),
	GENERAL(rsi, "int64"), GENERAL(rdi, "int64"), GENERAL(rbp, "data_ptr"), GENERAL(rsp, "data_ptr"),
	{"r", "int64", 8, 8, OF(general.r8), 8, 8, 8},
	GENERAL(rip, "code_ptr"),
	{"eflags", "rflags_bits", 4, 4, OF(general.rflags), 1, 0, 0},
	SEGMENT(cs), SEGMENT(ss), SEGMENT(ds), SEGMENT(es), SEGMENT(fs), SEGMENT(gs),
	{"st", "i387_ext", 10, 10, OF(fpu.fpr), 8, 0, 16},
	X87("fctrl", 2, OF(fpu.fcw)), X87("fstat", 2, OF(fpu.fsw)), X87("ftag", 2, OF(tags)),
	X87("fiseg", 2, OF(fpu.last_ip) + 4), X87("fioff", 4, OF(fpu.last_ip)),
	X87("foseg", 2, OF(fpu.last_dp) + 4), X87("fooff", 4, OF(fpu.last_dp)),
	X87("fop", 2, OF(fpu.last_opcode)),
};

static const struct row sse[] = {
	{"xmm", "vec128", 16, 16, OF(fpu.xmm), 16, 0, 16}, X87("mxcsr", 4, OF(fpu.mxcsr)),
};

static const struct row segments[] = {
	SYSTEM("fs_base", "int64", fs.base), SYSTEM("gs_base", "int64", gs.base),
};

static const struct row control[] = {
	SYSTEM("cr0", "cr0_bits", cr0), SYSTEM("cr2", "int64", cr2), SYSTEM("cr3", "int64", cr3),
	SYSTEM("cr4", "cr4_bits", cr4), SYSTEM("cr8", "int64", cr8), SYSTEM("efer", "efer_bits", efer),
};
/* clang-format on */

/* The types that gdb has to be told of, before a feature's registers. */
static const char vectors[] =
	"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
	"<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	"<vector id=\"v16b\" type=\"int8\" count=\"16\"/>"
	"<vector id=\"v4i\" type=\"int32\" count=\"4\"/>"
	"<vector id=\"v2l\" type=\"int64\" count=\"2\"/>"
	"<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
	"<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16b\"/>"
	"<field name=\"v4_int32\" type=\"v4i\"/><field name=\"v2_int64\" type=\"v2l\"/>"
	"<field name=\"uint128\" type=\"uint128\"/></union>";

static const struct {
	const char *name;
	const struct row *row;
	size_t rows;
	const char *types;
} features[] = {
	{"org.gnu.gdb.i386.core", core, ARRAY_LEN(core), ""},
	{"org.gnu.gdb.i386.sse", sse, ARRAY_LEN(sse), vectors},
	{"org.gnu.gdb.i386.segments", segments, ARRAY_LEN(segments), ""},
	{"org.bantam.control", control, ARRAY_LEN(control), ""},
};

static const struct {
	const char *type;
	unsigned bytes;
	const struct bit_name *bit;
	size_t bits;
} flags[] = {
	{"rflags_bits", 4, rflags_bits, ARRAY_LEN(rflags_bits)},
	{"cr0_bits", 8, cr0_bits, ARRAY_LEN(cr0_bits)},
	{"cr4_bits", 8, cr4_bits, ARRAY_LEN(cr4_bits)},
	{"efer_bits", 8, efer_bits, ARRAY_LEN(efer_bits)},
};

/* FXSAVE has a bit for each register that isn't empty, gdb two bits that are 3 for an empty one. */
static u16 full_tags(u8 short_tags)
{
	u16 tags = 0;

	for (unsigned i = 0; i < 8; i++)
		tags |= (u16)((short_tags & 1U << i) ? 0 : 3U << 2 * i);
	return tags;
}

static u8 short_tags(u16 tags)
{
	u8 bits = 0;

	for (unsigned i = 0; i < 8; i++)
		bits |= (u8)((tags >> 2 * i & 3) == 3 ? 0 : 1U << i);
	return bits;
}

int gdb_registers_load(int vcpu_fd, struct gdb_registers *registers)
{
	if (kvm_ioctl(vcpu_fd, KVM_GET_REGS, &registers->general) < 0 ||
	    kvm_ioctl(vcpu_fd, KVM_GET_SREGS, &registers->system) < 0 ||
	    kvm_ioctl(vcpu_fd, KVM_GET_FPU, &registers->fpu) < 0)
		return -1;
	registers->tags = full_tags(registers->fpu.ftwx);
	return 0;
}

int gdb_registers_store(int vcpu_fd, struct gdb_registers *registers)
{
	registers->fpu.ftwx = short_tags(registers->tags);
	if (kvm_ioctl(vcpu_fd, KVM_SET_SREGS, &registers->system) < 0 ||
	    kvm_ioctl(vcpu_fd, KVM_SET_REGS, &registers->general) < 0 ||
	    kvm_ioctl(vcpu_fd, KVM_SET_FPU, &registers->fpu) < 0)
		return -1;
	return 0;
}

/* The row that has the register, and its place in struct gdb_registers; NULL: there is none. */
static const struct row *find(u64 number, size_t *offset)
{
	for (size_t f = 0; f < ARRAY_LEN(features); f++) {
		for (size_t i = 0; i < features[f].rows; i++) {
			const struct row *row = &features[f].row[i];

			if (number < row->count) {
				*offset = row->offset + number * row->stride;
				return row;
			}
			number -= row->count;
		}
	}
	return NULL;
}

size_t gdb_register_bytes(u64 number)
{
	size_t offset;
	const struct row *row = find(number, &offset);

	return row ? row->bytes : 0;
}

void gdb_register_get(const struct gdb_registers *registers, u64 number, u8 *bytes)
{
	size_t offset;
	const struct row *row = find(number, &offset);

	memset(bytes, 0, row->bytes);
	memcpy(bytes, (const u8 *)registers + offset, row->width);
}

void gdb_register_set(struct gdb_registers *registers, u64 number, const u8 *bytes)
{
	size_t offset;
	const struct row *row = find(number, &offset);

	memcpy((u8 *)registers + offset, bytes, row->width);
}

struct text {
	char *at;
	size_t bytes, used;
};

static void put(struct text *text, const char *format, ...) PRINTF(2, 3);

static void put(struct text *text, const char *format, ...)
{
	const size_t left = text->used < text->bytes ? text->bytes - text->used : 0;
	va_list args;

	va_start(args, format);
	text->used += (size_t)vsnprintf(left ? text->at + text->used : NULL, left, format, args);
	va_end(args);
}

static void put_flags(struct text *text, const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (strcmp(flags[i].type, type) != 0)
			continue;
		put(text, "<flags id=\"%s\" size=\"%u\">", type, flags[i].bytes);
		for (size_t k = 0; k < flags[i].bits; k++) {
			const int bit = __builtin_ctzll(flags[i].bit[k].mask);

			put(text, "<field name=\"%s\" start=\"%d\" end=\"%d\"/>",
			    flags[i].bit[k].name, bit, bit);
		}
		put(text, "</flags>");
	}
}

static void put_row(struct text *text, const struct row *row)
{
	char number[8] = "";

	for (unsigned i = 0; i < row->count; i++) {
		if (row->count > 1)
			snprintf(number, sizeof(number), "%u", row->first + i);
		put(text, "<reg name=\"%s%s\" bitsize=\"%u\" type=\"%s\"/>", row->name, number,
		    row->bytes * 8, row->type);
	}
}

size_t gdb_describe(char *text, size_t bytes)
{
	struct text out = {text, bytes, 0};

	put(&out, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
		  "<target><architecture>i386:x86-64</architecture>");
	for (size_t f = 0; f < ARRAY_LEN(features); f++) {
		put(&out, "<feature name=\"%s\">%s", features[f].name, features[f].types);
		for (size_t i = 0; i < features[f].rows; i++)
			put_flags(&out, features[f].row[i].type);
		for (size_t i = 0; i < features[f].rows; i++)
			put_row(&out, &features[f].row[i]);
		put(&out, "</feature>");
	}
	put(&out, "</target>");
	return out.used < bytes ? out.used : 0;
}
