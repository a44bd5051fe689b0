/*
 * Names of model-specific registers: see msr.h.
 *
 * The ones that kernels are seen to read although a virtual machine doesn't have them.
 *
 * Source: Intel SDM volume 4; AMD APM volume 2, appendix A.
 */
#include "vmm/x86/msr.h"

#include <stdio.h>

static const struct {
	u32 index;
	const char *name;
} names[] = {
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
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (names[i].index == index) {
			snprintf(text, bytes, "%s", names[i].name);
			return;
		}
	}
	snprintf(text, bytes, "0x%x", index);
}
