/*
 * The bits of x86's control registers by name: see register_bits.h.
 */
#include "vmm/x86/register_bits.h"

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
