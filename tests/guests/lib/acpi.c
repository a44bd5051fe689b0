/*
 * ACPI tables by signature: RSDP -> XSDT -> table, every checksum on the way proved (ACPI 6.5,
 * 5.2.5 to 5.2.8). The RSDP's address comes from the boot information; without one we search where
 * a BIOS would have put it, on 16-byte steps in 0xe0000 to 0xfffff.
 */
#include "lib.h"

/* The sum of all bytes of a table, its checksum among them, is 0. */
bool checksum_ok(const void *p, size_t n)
{
	u8 sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += ((const u8 *)p)[i];
	return sum == 0;
}

static bool is_rsdp(const u8 *p)
{
	return !memcmp(p, "RSD PTR ", 8) && checksum_ok(p, 20) && /* the ACPI 1.0 part */
	       p[15] >= 2 && checksum_ok(p, 36);                  /* revision 2: with an XSDT */
}

const u8 *acpi_rsdp(void)
{
	if (boot.rsdp)
		return is_rsdp((const u8 *)boot.rsdp) ? (const u8 *)boot.rsdp : NULL;
	for (u64 p = 0xe0000; p < 0x100000; p += 16)
		if (is_rsdp((const u8 *)p))
			return (const u8 *)p;
	return NULL;
}

static u32 table_length(const u8 *table)
{
	u32 n;

	memcpy(&n, table + 4, sizeof(n));
	return n;
}

const u8 *acpi_table(const char *signature)
{
	const u8 *rsdp = acpi_rsdp(), *xsdt;
	u64 address;

	if (!rsdp)
		return NULL;
	memcpy(&address, rsdp + 24, sizeof(address));
	xsdt = (const u8 *)address;
	if (memcmp(xsdt, "XSDT", 4) || !checksum_ok(xsdt, table_length(xsdt)))
		return NULL;
	/* After the 36 bytes of header: 64-bit addresses, not aligned to 8. */
	for (u32 off = 36; off + 8 <= table_length(xsdt); off += 8) {
		const u8 *table;

		memcpy(&address, xsdt + off, sizeof(address));
		table = (const u8 *)address;
		if (!memcmp(table, signature, 4))
			return checksum_ok(table, table_length(table)) ? table : NULL;
	}
	return NULL;
}

#define FADT_DSDT   40
#define FADT_X_DSDT 140

const u8 *acpi_dsdt(const u8 **end)
{
	const u8 *fadt = acpi_table("FACP"), *dsdt;
	u64 address = 0;
	u32 short_address;

	if (!fadt)
		return NULL;
	if (table_length(fadt) >= FADT_X_DSDT + 8)
		memcpy(&address, fadt + FADT_X_DSDT, sizeof(address));
	memcpy(&short_address, fadt + FADT_DSDT, sizeof(short_address));
	dsdt = (const u8 *)(address ? address : short_address);
	*end = dsdt + table_length(dsdt);
	return dsdt;
}

const u8 *behind_bytes(const u8 *p, const u8 *end, const void *bytes, size_t n)
{
	for (; p && p + n <= end; p++)
		if (!memcmp(p, bytes, n))
			return p + n;
	return NULL;
}
