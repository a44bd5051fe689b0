/*
 * The report of `bantam check`, for people and for scripts.
 */
#ifndef BANTAM_VMM_CHECK_PRINT_H
#define BANTAM_VMM_CHECK_PRINT_H

#include <stdio.h>

#include "vmm/check.h"

/* Aligned lines, then the verdict and, unless all is well, what to do. */
void check_print_text(const struct check_report *report, FILE *out);

/* One JSON object with the same facts; docs say which keys are promised. */
void check_print_json(const struct check_report *report, FILE *out);

/* The names of the probes that were tried and failed: "cmpxchg16b, int3". bytes: at least 1. */
void check_print_failed(const struct check_guests *guests, char *text, size_t bytes);

#endif
