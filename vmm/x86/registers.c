/*
 * Names of x86's registers and of their bits: see registers.h.
 */
#include "vmm/x86/registers.h"

#include <stdio.h>

const struct bit_name cr0_bits[] = {{1 << 0, "PE"},  {1 << 1, "MP"},  {1 << 2, "EM"},
				    {1 << 3, "TS"},  {1 << 4, "ET"},  {1 << 5, "NE"},
				    {1 << 16, "WP"}, {1 << 18, "AM"}, {1 << 29, "NW"},
				    {1 << 30, "CD"}, {1U << 31, "PG"}};

const struct bit_name cr4_bits[] = {
	{1 << 0, "VME"},      {1 << 1, "PVI"},    {1 << 2, "TSD"},         {1 << 3, "DE"},
	{1 << 4, "PSE"},      {1 << 5, "PAE"},    {1 << 6, "MCE"},         {1 << 7, "PGE"},
	{1 << 8, "PCE"},      {1 << 9, "OSFXSR"}, {1 << 10, "OSXMMEXCPT"}, {1 << 11, "UMIP"},
	{1 << 12, "LA57"},    {1 << 13, "VMXE"},  {1 << 16, "FSGSBASE"},   {1 << 17, "PCIDE"},
	{1 << 18, "OSXSAVE"}, {1 << 20, "SMEP"},  {1 << 21, "SMAP"},       {1 << 22, "PKE"}};

const struct bit_name efer_bits[] = {{1 << 0, "SCE"},  {1 << 8, "LME"},   {1 << 10, "LMA"},
				     {1 << 11, "NXE"}, {1 << 12, "SVME"}, {1 << 14, "FFXSR"}};

const struct bit_name rflags_bits[] = {
	{1 << 0, "CF"},  {1 << 1, "always_1"}, {1 << 2, "PF"},  {1 << 4, "AF"},  {1 << 6, "ZF"},
	{1 << 7, "SF"},  {1 << 8, "TF"},       {1 << 9, "IF"},  {1 << 10, "DF"}, {1 << 11, "OF"},
	{1 << 14, "NT"}, {1 << 16, "RF"},      {1 << 17, "VM"}, {1 << 18, "AC"}, {1 << 21, "ID"}};

/* The ones that kernels are seen to read although a virtual machine doesn't have them. */
static const struct {
	u32 index;
	const char *name;
} msrs[] = {
	{0x17, "PLATFORM_ID"},
	{0x34, "SMI_COUNT"},
	{0x35, "CORE_THREAD_COUNT"},
	{0x8b, "BIOS_SIGN_ID"},
	{0xce, "PLATFORM_INFO"},
	{0x10a, "ARCH_CAPABILITIES"},
	{0x122, "TSX_CTRL"},
	{0x140, "MISC_FEATURES_ENABLES"},
	{0x198, "PERF_STATUS"},
	{0x19c, "THERM_STATUS"},
	{0x1a0, "MISC_ENABLE"},
	{0x1a4, "MISC_FEATURE_CONTROL"},
	{0x1ad, "TURBO_RATIO_LIMIT"},
	{0x1b0, "ENERGY_PERF_BIAS"},
	{0x1d9, "DEBUGCTL"},
	{0x345, "PERF_CAPABILITIES"},
	{0x606, "RAPL_POWER_UNIT"},
	{0x611, "PKG_ENERGY_STATUS"},
	{0x639, "PP0_ENERGY_STATUS"},
	{0x641, "PP1_ENERGY_STATUS"},
	{0x770, "PM_ENABLE"},
	{0xc0010010, "SYSCFG"},
	{0xc0010015, "HWCR"},
	{0xc001001b, "K7_CLK_CTL"},
	{0xc001001f, "NB_CFG"},
	{0xc0010055, "INT_PENDING"},
	{0xc0010064, "PSTATE_0"},
	{0xc0010114, "VM_CR"},
	{0xc0010140, "OSVW_ID_LENGTH"},
	{0xc0010141, "OSVW_STATUS"},
	{0xc0010299, "RAPL_POWER_UNIT"},
	{0xc001029a, "CORE_ENERGY_STATUS"},
	{0xc001102a, "BU_CFG2"},
};

void msr_name(u32 index, char *text, size_t bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(msrs); i++) {
		if (msrs[i].index == index) {
			snprintf(text, bytes, "%s", msrs[i].name);
			return;
		}
	}
	snprintf(text, bytes, "0x%x", index);
}
