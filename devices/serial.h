/*
 * COM1: a 16550A UART, the console of last resort that every kernel can drive.
 *
 * Between the guest's registers and the host stand two ways that never block a vCPU:
 *
 * Output. A byte written to THR goes to host->put() at once, and LSR.THRE stays set: a driver that
 * polls is never held up. Back-pressure is in the *interrupt*: while host->has_room() says no,
 * THRE raises none, so that an interrupt-driven driver waits until serial_output_drained().
 *
 * Input. serial_input() fills the FIFO, and only while the guest *listens*: its receive interrupt is
 * enabled, or it polls LSR again and again without sending. Until then the host keeps its bytes, so
 * that input piped in before the guest is up isn't lost to the FIFO resets of a starting driver.
 * More comes only after the FIFO was read empty and the host's thread came round, which gives the
 * guest time between interrupts. A driver that raises RTS and drops it again (Linux does so when
 * its buffers are full and CRTSCTS is set) holds input back as with a modem.
 *
 * Limits: bytes take no time, so the baud rate, parity and stop bits are stored and mean nothing;
 * a FIFO reset doesn't discard the host's input (it was held, not received); OUT2 doesn't gate the
 * interrupt; modem lines never change outside loopback mode, and no change of one is ever reported (the
 * delta bits of MSR and the modem status interrupt).
 *
 * Source: National Semiconductor PC16550D data sheet, register numbers as in linux/serial_reg.h.
 */
#ifndef BANTAM_DEVICES_SERIAL_H
#define BANTAM_DEVICES_SERIAL_H

#include <pthread.h>

#include "vmm/bus.h"
#include "vmm/irq.h"
#include "vmm/types.h"

#define SERIAL_COM1_BASE  ((u64)0x3f8)
#define SERIAL_PORT_BYTES ((u64)8)
#define SERIAL_COM1_GSI   ((u32)4)

enum { SERIAL_FIFO_BYTES = 16 };

/* What the guest can see of the UART, and nothing else. */
struct serial_regs {
	u8 ier, lcr, mcr, scr, fcr, divisor_low, divisor_high;
	bool thre_pending; /* THRE happened and its interrupt was neither read in IIR nor cleared */
	bool rts_seen;     /* RTS has been raised once: from now on its fall holds input back */
	bool iir_read;     /* the driver learns of THRE from IIR, as drivers should */
	u8 overrun;        /* LSR.OE, until LSR is read */
	u8 lsr_polls;      /* LSR reads in a row, nothing written in between; capped */
	u8 loop_used;      /* bytes that loopback mode has received … */
	u8 input_used;     /* … and bytes from the host that wait to be read; oldest first */
	u8 loop[SERIAL_FIFO_BYTES];
	u8 input[SERIAL_FIFO_BYTES];
};

/* The host's end of the line. Called with the UART's lock held; must not block. */
struct serial_host {
	void (*put)(void *host, u8 byte);
	bool (*has_room)(void *host);
	void (*want_input)(void *host); /* the guest listens and all earlier input is read */
	void *host;
};

/* lock guards regs and irq: vCPU threads and the host's end both come in. */
struct serial {
	pthread_mutex_t lock;
	struct serial_regs regs;
	struct irq_line irq;
	struct serial_host host;
};

extern const struct bus_ops serial_bus_ops;

void serial_init(struct serial *serial, const struct irq_line *irq, const struct serial_host *host);
/* Back to the state after power-on; the interrupt line is low. */
void serial_reset(struct serial *serial);
void serial_destroy(struct serial *serial);

/*
 * Puts up to count bytes into the FIFO; returns how many were taken: none while the guest doesn't
 * listen, fewer when the FIFO is full. After less than count, host->want_input() follows.
 */
size_t serial_input(void *serial, const u8 *bytes, size_t count);

/* The host has room again: an interrupt-driven sender may go on. */
void serial_output_drained(void *serial);

#endif
